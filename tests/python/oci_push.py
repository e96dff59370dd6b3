"""A small registry client, written from the OCI distribution specification and independent of labguard's own.

Assembles an image from one executable and pushes it through `/v2/`: HEAD, POST, one monolithic PUT for each blob, then
the manifest. What it checks on the way is what a registry must keep: digests, statuses, `Location`.
"""

import gzip
import hashlib
import io
import json
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import requests

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine().lower()]
ECS_ARCH = {"amd64": "X86_64", "arm64": "ARM64"}[OCI_ARCH]


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Image:
    config: bytes
    layer: bytes
    manifest: bytes

    @property
    def digest(self) -> str:
        return digest(self.manifest)


def image_of(executable: Path, arguments: list[str], port: int) -> Image:
    """An image whose only file is `executable`, at /app, in one reproducible layer."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as archive:
        entry = archive.gettarinfo(executable, arcname="app")
        entry.mode, entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = 0o755, 0, 0, "", "", 0
        with executable.open("rb") as content:
            archive.addfile(entry, content)
    layer = gzip.compress(tar.getvalue(), compresslevel=1, mtime=0)
    config = json.dumps(
        {
            "architecture": OCI_ARCH,
            "os": "linux",
            "config": {"Entrypoint": ["/app"], "Cmd": arguments, "ExposedPorts": {f"{port}/tcp": {}}},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar.getvalue())]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": digest(layer), "size": len(layer)}],
        }
    ).encode()
    return Image(config, layer, manifest)


class Registry:
    """One repository of a registry, with the token that `ecr:GetAuthorizationToken` gave."""

    def __init__(self, endpoint: str, repository: str, token: str):
        self.base = f"{endpoint.rstrip('/')}/v2/{repository}"
        self.root = f"{endpoint.rstrip('/')}/v2/"
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Basic {token}"
        self.session.trust_env = False

    def has_blob(self, of: str) -> bool:
        answer = self.session.head(f"{self.base}/blobs/{of}")
        assert answer.status_code in (200, 404), answer
        return answer.status_code == 200

    def upload(self, data: bytes, claimed: str | None = None) -> requests.Response:
        """POST, then one PUT; `claimed` is the digest we say it has."""
        begun = self.session.post(f"{self.base}/blobs/uploads/")
        assert begun.status_code == 202, f"{begun.status_code} {begun.text}"
        place = urljoin(begun.url, begun.headers["Location"])
        join = "&" if "?" in place else "?"
        return self.session.put(
            f"{place}{join}digest={claimed or digest(data)}",
            data=data,
            headers={"Content-Type": "application/octet-stream"},
        )

    def put_manifest(self, manifest: bytes, reference: str) -> requests.Response:
        return self.session.put(f"{self.base}/manifests/{reference}", data=manifest, headers={"Content-Type": MANIFEST})

    def push(self, image: Image, tag: str) -> str:
        """Pushes and answers with the digest the registry gave."""
        for blob in (image.config, image.layer):
            if not self.has_blob(digest(blob)):
                stored = self.upload(blob)
                assert stored.status_code == 201, f"{stored.status_code} {stored.text}"
            assert self.has_blob(digest(blob)), "a blob just uploaded is not there"
        stored = self.put_manifest(image.manifest, tag)
        assert stored.status_code == 201, f"{stored.status_code} {stored.text}"
        assert stored.headers["Docker-Content-Digest"] == image.digest
        back = self.session.get(f"{self.base}/manifests/{tag}", headers={"Accept": MANIFEST})
        assert back.content == image.manifest, "the manifest came back changed"
        return stored.headers["Docker-Content-Digest"]
