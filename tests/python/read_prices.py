"""Reads the prices of ours in one of AWS's price files, a second time and in another way, and prints them as JSON.

    python3 read_prices.py index.json

Nothing of labguard is used: which product is which item is written down from what AWS says of its usage types, as one
pattern for each; the whole file is held in memory; amounts are decimals. What labguard takes must be the same.
"""

import json
import re
import sys
from decimal import ROUND_CEILING, Decimal

# Each region's short name. us-east-1's oldest products have none.
SHORT = {
    "us-east-1": "(USE1-)?",
    "eu-west-1": "(EU|EUW1)-",
    "eu-central-1": "EUC1-",
    "ap-northeast-1": "APN1-",
    "ap-south-1": "APS3-",
}
# Item: service, usage type after the region's name, so many of AWS's units, the unit's pattern.
ITEMS = {
    "vcpu_x86": ("AmazonECS", "Fargate-vCPU-Hours:perCPU", 1, "hours|hrs"),
    "memory_x86": ("AmazonECS", "Fargate-GB-Hours", 1, "hours|hrs"),
    "vcpu_arm": ("AmazonECS", "Fargate-ARM-vCPU-Hours:perCPU", 1, "hours|hrs"),
    "memory_arm": ("AmazonECS", "Fargate-ARM-GB-Hours", 1, "hours|hrs"),
    "vcpu_windows": ("AmazonECS", "Fargate-Windows-vCPU-Hours:perCPU", 1, "hours|hrs"),
    "memory_windows": ("AmazonECS", "Fargate-Windows-GB-Hours", 1, "hours|hrs"),
    "licence_windows": ("AmazonECS", "Fargate-Windows-OS-Hours:perCPU", 1, "hours|hrs"),
    "spot_vcpu_x86": ("AmazonECS", "SpotUsage[-:]Fargate-vCPU-Hours:perCPU", 1, "hours|hrs"),
    "spot_memory_arm": ("AmazonECS", "SpotUsage[-:]Fargate-ARM-GB-Hours", 1, "hours|hrs"),
    "image_storage": ("AmazonECR", "TimedStorage-ByteHrs", 1, "gb-mo"),
    "logs_stored": ("AmazonCloudWatch", "TimedStorage-ByteHrs", 1, "gb-mo"),
    "logs_ingested": ("AmazonCloudWatch", "DataProcessing-Bytes", 1, "gb"),
    "metric": ("AmazonCloudWatch", "CW:MetricMonitorUsage", 1, "metrics"),
    "metric_requests": ("AmazonCloudWatch", "CW:Requests", 1000, "requests"),
    "metric_reads": ("AmazonCloudWatch", "CW:GMD-Metrics", 1000, "metrics"),
    "public_ipv4": ("AmazonVPC", "PublicIPv4:InUseAddress", 1, "hours|hrs"),
}


def item_of(attributes):
    for item, (service, usage, units, unit) in ITEMS.items():
        pattern = SHORT[attributes["regionCode"]] + usage
        if attributes["servicecode"] == service and re.fullmatch(pattern, attributes["usagetype"]):
            return item, units, unit
    return None


def read(document):
    found = {}
    for sku, product in document["products"].items():
        attributes = product["attributes"]
        if attributes["locationType"] != "AWS Region":
            continue
        known = item_of(attributes)
        if known is None:
            continue
        item, units, unit = known
        dimensions = [
            dimension
            for term in document["terms"]["OnDemand"].get(sku, {}).values()
            for dimension in term["priceDimensions"].values()
        ]
        if any(not re.fullmatch(unit, it["unit"].lower()) for it in dimensions):
            continue
        dearest = max((Decimal(it["pricePerUnit"]["USD"]) for it in dimensions), default=Decimal(0))
        nanos = int((dearest * units * 10**9).to_integral_value(ROUND_CEILING))
        if nanos > 0:
            place = (attributes["regionCode"], item)
            found[place] = max(found.get(place, 0), nanos)
    return found


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        prices = read(json.load(file))
    json.dump({f"{region} {item}": nanos for (region, item), nanos in sorted(prices.items())}, sys.stdout)


if __name__ == "__main__":
    main()
