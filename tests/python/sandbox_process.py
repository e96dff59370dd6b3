"""The `labguard sandbox` process as a fixture: started on a port that the kernel gives it, empty HOME, always ended.

Nothing here knows how the sandbox works inside; it is reached as AWS would be, through its endpoint.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import requests

ACCOUNT = "000000000000"
REGION = "us-east-1"
KEY = "labguard-sandbox"
READY_WITHIN = 30.0


def binary() -> Path:
    path = os.environ.get("LABGUARD_BIN")
    if not path:
        raise RuntimeError("LABGUARD_BIN is not set: these suites are run by `cargo test --test python_clients`")
    return Path(path)


class Sandbox:
    def __init__(self, home: Path, *arguments: str):
        self.endpoint = None
        self.log = home / "sandbox.log"
        self._output = self.log.open("wb")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "LABGUARD_"))}
        environment["HOME"] = str(home)
        self.process = subprocess.Popen(
            [binary(), "sandbox", "--listen", "127.0.0.1:0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home,
        )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"labguard sandbox ended with {self.process.returncode}:\n{self.said()}")
            # Told once it listens, on the port that the kernel gave it.
            if told := re.search(r"^(http://127\.0\.0\.1:\d+)\n", self.said(), re.MULTILINE):
                self.endpoint = told[1]
                try:
                    # Any HTTP answer will do: an unsigned request is refused, and that is an answer.
                    requests.get(self.endpoint, timeout=2)
                    return
                except requests.RequestException:
                    pass
            time.sleep(0.05)
        raise RuntimeError(f"labguard sandbox did not answer within {READY_WITHIN} s:\n{self.said()}")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def environment(self) -> dict[str, str]:
        """What makes the AWS CLI (and any SDK) talk to this sandbox and to nothing else."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def stop(self) -> int:
        """SIGTERM, as a service manager would; a sandbox that does not end within 20 s is killed and told of."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._output.close()
        return self.process.returncode
