"""Computes a session's receipt again, from its journal alone, and compares it to the nano-dollar.

    labguard journal SESSION --json | python3 recompute_receipt.py -
    python3 recompute_receipt.py JOURNAL.json ...

A journal is what GET /v1/sessions/SESSION/journal answers. Nothing of labguard is used: the rules of billing below are
written from what AWS says of its bills and from what the events mean. Only whole numbers and decimals; no floating
point anywhere. Exits 1 when a receipt does not agree, and says where.
"""

import json
import re
import sys
from datetime import datetime, timedelta, timezone
from decimal import ROUND_CEILING, Decimal, localcontext

NANO = Decimal("0.000000001")
HOUR = 3_600_000
QUARTER = 900_000
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# AWS's always-free allowances cover these, where the policy counts them.
FREE = {"metric", "metric_requests", "logs_ingested", "logs_stored", "data_out", "schedule_invocations"}
DAY = 24 * HOUR
SPAN = {"ms": 1, "s": 1_000, "m": 60_000, "h": HOUR, "day": DAY, "days": DAY}


def instant(text):
    """Milliseconds since 1970."""
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(milliseconds=1)


def span(text):
    """Milliseconds of `1h 30m`."""
    return sum(int(count) * SPAN[unit] for count, unit in re.findall(r"(\d+)([a-z]+)", text))


def dollars(text):
    """An exact amount."""
    assert text.endswith(" USD"), text
    return Decimal(text[:-4])


def seconds(millis):
    """Begun seconds count whole."""
    return -(-millis // 1000)


class Disagreement(Exception):
    """What the receipt says and what was computed differ."""


class Session:
    """What the journal says of one session, as far as a bill depends on it."""

    def __init__(self):
        self.things = {}
        self.cards = []
        self.metered = {}
        self.scheduled = set()
        self.heard = 0
        # What a clock that was set back, or that runs behind AWS's, has hidden: it is billed all the same.
        self.hidden = 0
        self.receipt = None
        self.terms = {}
        self.public_ip = True

    def take(self, at, event):
        kind = event["event"]
        if kind != "billed":
            self.heard = max(self.heard, at)
        handler = getattr(self, "on_" + kind, None)
        if handler:
            handler(at, event)

    def now(self):
        return self.heard + self.hidden

    def on_opened(self, _at, event):
        policy = event["policy"] or {}
        self.public_ip = policy.get("network", {}).get("public_ip", True)
        self.terms = policy.get("accounting", {})

    def on_priced(self, _at, event):
        self.cards.append((self.now(), event["card"]["prices"]))

    def on_clock_set_back(self, at, event):
        self.hidden += span(event["by"])
        self.heard = at

    def on_metered(self, _at, event):
        counts = self.counts()
        counts[0] += event["metric_hours"]
        counts[1] += event["put_metric_calls"]
        counts[3] += event.get("metrics_read", 0)

    def counts(self):
        return self.metered.setdefault((self.now() - 1) // QUARTER * QUARTER, [0, 0, 0, 0])

    def on_scheduled(self, _at, event):
        """A schedule is paid for once, however often it is moved: should it ever be due."""
        names = {name for name, _ in event["schedules"]}
        self.counts()[2] += len(names - self.scheduled)
        self.scheduled |= names

    def on_intended(self, at, event):
        thing = self.things.get(event["key"])
        if thing is None or (event["action"] == "create" and not thing["exists"]):
            before = thing or {}
            thing = self.things[event["key"]] = {
                "exists": True, "never": False, "ours": True, "meant": at, "born": None, "gone": None,
                "hidden": self.hidden, "hidden_at_end": 0,
                "facts": None, "size": None, "bytes": None,
            }
            assert not before.get("exists"), event
        if event["action"] == "create":
            thing["size"] = event.get("size") or thing["size"]

    def on_done(self, at, event):
        thing = self.things.get(event["key"])
        if thing is None:
            return
        effect = event["effect"]
        if effect in ("created", "already_there", "adopted"):
            thing["ours"] = effect != "adopted"
            if event["key"].startswith("schedule_group/") and effect == "created":
                self.scheduled = set()
            thing["born"] = at if thing["born"] is None else thing["born"]
        elif effect in ("removed", "already_gone", "removal_requested"):
            self.end(at, thing)
            self.forget_schedules_of(event["key"])
        elif effect == "not_ours":
            thing.update(ours=False, exists=False, never=event["action"] == "create", gone=at, hidden_at_end=self.hidden)

    def on_vanished(self, at, event):
        if event["key"] in self.things:
            self.end(at, self.things[event["key"]])
            self.forget_schedules_of(event["key"])

    def forget_schedules_of(self, key):
        """A service's next life has schedules of its own, by the same names."""
        if key.startswith("service/"):
            self.scheduled -= {"service-delete", "service-delete-again"}

    on_task_lost = on_vanished

    def on_task_seen(self, at, event):
        facts = event["facts"]
        # A task that was not known is counted from now, until AWS says since when it is.
        if event["key"] not in self.things:
            self.on_intended(at, {"key": event["key"], "action": "create"})
        thing = self.things[event["key"]]
        times = [facts[name] for name in ("created_at", "pull_started_at", "started_at", "stopped_at") if facts.get(name)]
        ahead = max(map(instant, times), default=0) - self.now()
        if ahead > 0:
            self.hidden += ahead
        thing["size"] = event["size"]
        thing["born"] = at if thing["born"] is None else thing["born"]
        stopped = facts["status"] == "STOPPED"
        if thing["never"] or (not thing["exists"] and not stopped):
            thing.update(exists=True, never=False, gone=None)
        if stopped:
            self.end(at, thing)
        thing["facts"] = facts

    def on_measured(self, _at, event):
        if event["key"] in self.things:
            self.things[event["key"]]["bytes"] = event["bytes"]

    def on_reappeared(self, at, event):
        thing = self.things.get(event["key"])
        if thing and not thing["exists"]:
            thing.update(exists=True, never=False, gone=None)
            thing["born"] = at if thing["born"] is None else thing["born"]

    def on_closed(self, _at, event):
        self.receipt = event["receipt"]

    def end(self, at, thing):
        if thing["exists"]:
            thing.update(exists=False, never=thing["born"] is None, gone=at, hidden_at_end=self.hidden)

    def gone(self, thing):
        """When it was proven gone, by a clock that nothing sets back."""
        at = thing["gone"]
        return None if at is None else at + thing["hidden_at_end"]

    def uses(self):
        """Everything that is paid for: (key, item, units by an instant, units of one price, begin, end)."""
        for key, thing in self.things.items():
            if thing["never"]:
                continue
            if key.startswith("task/"):
                yield from self.task(key, thing)
            elif key.startswith("image/") and thing["ours"] and thing["bytes"] is not None:
                begin = (thing["meant"] if thing["born"] is None else thing["born"]) + thing["hidden"]
                # By the begun kilobyte, for a month of 730 hours, per GB of a thousand million bytes.
                each = -(-thing["bytes"] // 1000)
                yield lasting(key, "image_storage", begin, self.gone(thing), each, 1_000_000 * 730 * 3600)
            elif key.startswith("insights_log/"):
                yield from self.insights(key, thing)
        for item, place, per in (
            ("metric", 0, 730), ("metric_requests", 1, 1000), ("schedule_invocations", 2, 1_000_000), ("metric_reads", 3, 1000)
        ):
            yield self.counted(item, place, per)

    def insights(self, key, thing):
        """Metrics that AWS makes of a cluster and its task definition, and of a service, by hours of the clock with data."""
        begin = thing["meant"] + thing["hidden"]
        cluster = self.things.get("cluster/1")
        end = cluster and self.gone(cluster)
        end = None if end is None else max(begin, end)
        each = 12 + 12 + (17 if "service/1" in self.things else 0)

        def by(at):
            if at < begin:
                return 0
            last = at if end is None else min(at, end)
            return (max(last - 1, begin) // HOUR - begin // HOUR + 1) * each

        yield key, "metric", by, 730, begin, end
        yield lasting(key, "logs_ingested", begin, end, 1, 1000 * 3600)

    def task(self, key, thing):
        facts = thing["facts"] or {}
        told = [facts.get(name) for name in ("pull_started_at", "created_at", "started_at")]
        begin = next((instant(time) for time in told if time), thing["meant"] + thing["hidden"])
        end = instant(facts["stopped_at"]) if facts.get("stopped_at") else self.gone(thing)
        size = thing["size"] or {"cpu": 256, "memory": 512, "storage": 20, "arch": "X86_64", "spot": False}
        kind = ("spot_" if size["spot"] else "") + "{}_" + {"X86_64": "x86", "ARM64": "arm"}[size["arch"]]
        hours = 3600
        # Fargate bills a minute at least, by the second; units of 1024 are a vCPU, MiB a GB. 20 GB of disk are included.
        yield lasting(key, kind.format("vcpu"), begin, end, size["cpu"], 1024 * hours, least=60)
        yield lasting(key, kind.format("memory"), begin, end, size["memory"], 1024 * hours, least=60)
        yield lasting(key, "ephemeral_storage", begin, end, max(size["storage"] - 20, 0), hours, least=60)
        step = 3600 if self.terms.get("ipv4_by_hour") else 1
        yield lasting(key, "public_ipv4", begin, end, int(self.public_ip), hours, least=60, step=step)
        yield lasting(key, "logs_ingested", begin, end, self.terms.get("logs_mib_per_hour", 0), 1000 * hours)
        yield lasting(key, "data_out", begin, end, self.terms.get("traffic_mib_per_hour", 0), 1000 * hours)

    def counted(self, item, place, per):
        def by(at):
            return sum(counts[place] for begin, counts in self.metered.items() if begin < at)

        return None, item, by, per, min(self.metered, default=0), None

    def lines(self, until):
        """The receipt's lines: each use at each price that was in force while it went on."""
        if not self.cards:
            return
        ends = [begin for begin, _ in self.cards[1:]] + [until]
        for key, item, by, per, born, died in self.uses():
            for place, (begin, prices) in enumerate(self.cards):
                begin, end = (0 if place == 0 else begin), min(ends[place], until)
                if end < begin or (place > 0 and end == begin):
                    continue
                units = by(end) - (by(begin) if place > 0 else 0)
                if units <= 0:
                    continue
                price = prices.get(item)
                if price is None:
                    raise Disagreement(f"{item} of {key} was used and has no journalled price")
                amount = (dollars(price["amount"]) * units / per).quantize(NANO, rounding=ROUND_CEILING)
                # No allowance holds as many metrics as Container Insights makes.
                if self.terms.get("free_tier") and item in FREE and not (key or "").startswith("insights_log/"):
                    amount = Decimal(0)
                first = max(begin, born)
                last = max(first, end if died is None else min(died, end))
                yield (key, item, units, per, first, last, dollars(price["amount"]), price["basis"], amount)


def lasting(key, item, begin, end, each, per, least=0, step=1):
    """So many units each second, from begin to end."""

    def by(at):
        if at < begin or each == 0:
            return 0
        last = at if end is None else min(at, end)
        return -(-max(seconds(max(last - begin, 0)), least) // step) * step * each

    return key, item, by, per, begin, end


def stated(line):
    """A line of the receipt, as it is compared."""
    times = [instant(line[name]) for name in ("from", "until")]
    units = line["units"]
    price = dollars(line["unit_price"])
    amount = dollars(line["amount"])
    return (line["key"], line["billed_as"], units["of"], units["per"], *times, price, line["basis"], amount)


def check(entries):
    """The receipt's total, once every line of it was found again."""
    session = Session()
    # What was journalled in one piece bears one time: that of writing, a moment after the receipt was computed.
    before = written = 0
    for entry in entries:
        at = instant(entry["at"])
        if at != written:
            before, written = session.heard, at
        session.take(at, entry["event"])
        if entry["event"]["event"] == "closed":
            break
    receipt = session.receipt
    if receipt is None:
        raise Disagreement("it is not closed: there is no receipt to compare")
    ended = max(before, instant(receipt["ended_at"])) + session.hidden
    ours = list(session.lines(ended))
    theirs = [stated(line) for line in receipt["lines"] if line["billed_as"] is not None]
    if sorted(ours, key=repr) != sorted(theirs, key=repr):
        missing = [line for line in ours if line not in theirs]
        extra = [line for line in theirs if line not in ours]
        raise Disagreement(f"computed and not in the receipt: {missing}\n  in the receipt and not computed: {extra}")
    gross = sum((line[-1] for line in ours), Decimal(0))
    credit = min(gross, dollars(session.terms.get("credits", "0.00 USD")))
    credits = [dollars(line["amount"]) for line in receipt["lines"] if line["billed_as"] is None]
    if credits != ([-credit] if credit > 0 else []):
        raise Disagreement(f"credits of {credit} computed, the receipt has {credits}")
    if gross - credit != dollars(receipt["total"]):
        raise Disagreement(f"{gross - credit} USD computed, the receipt's total is {receipt['total']}")
    return receipt["session"], gross - credit, len(ours)


def main(paths):
    failed = False
    for path in paths:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as source:
            entries = json.load(source)
        try:
            with localcontext() as context:
                context.prec = 60
                session, total, lines = check(entries)
            print(f"{session}: {total} USD in {lines} lines, as the receipt says")
        except Disagreement as why:
            failed = True
            print(f"{path}: {why}")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
