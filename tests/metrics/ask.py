"""Waits until a Prometheus has scraped the gateway, and asks it every expression of the dashboard and the rules.

    ask.py PROMETHEUS-URL DASHBOARD RULES

Each must be understood, and those over what a gateway always has must have an answer.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

# What Grafana puts into expressions.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$task": ".*"}
PATIENCE_S = 30
# Two scrapes a second apart are the least that a rate needs.
SCRAPES_MIN = 3


def ask(base, path, **parameters):
    url = f"{base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as response:
            return json.load(response)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{parameters}: {json.load(error)['error']}")


def until(what, holds):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if holds():
                return
        except urllib.error.URLError:
            pass
        if time.monotonic() > deadline:
            sys.exit(f"waited {PATIENCE_S} s for: {what}")
        time.sleep(0.2)


def expressions(value):
    """All "expr" in a JSON document, as Prometheus takes them."""
    if isinstance(value, dict):
        if isinstance(value.get("expr"), str):
            text = value["expr"]
            for name, meant in VARIABLES.items():
                text = text.replace(name, meant)
            yield text
        for member in value.values():
            yield from expressions(member)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member)


def main():
    base, dashboard, rules = sys.argv[1:]

    def scraped():
        found = ask(base, "query", query='count_over_time(up{job="unblock"}[1m])')["result"]
        return found and int(found[0]["value"][1]) >= SCRAPES_MIN

    until("scrapes", scraped)
    target = ask(base, "targets")["activeTargets"][0]
    if target["health"] != "up":
        sys.exit(f"the gateway is not scraped: {target['lastError']}")
    with open(dashboard) as file:
        asked = list(expressions(json.load(file)))
    silent = [text for text in asked if not ask(base, "query", query=text)["result"]]
    if silent:
        sys.exit("expressions of the dashboard without an answer:\n" + "\n".join(silent))
    with open(rules) as file:
        wanted = set(re.findall(r"^ *- alert: (\w+)$", file.read(), re.M))
    found = {rule["name"]: rule for group in ask(base, "rules")["groups"] for rule in group["rules"]}
    if set(found) != wanted:
        sys.exit(f"found the rules {sorted(found)}, expected {sorted(wanted)}")

    def judged():
        found = [rule for group in ask(base, "rules")["groups"] for rule in group["rules"]]
        return all(rule["health"] != "unknown" for rule in found)

    until("the rules' first judgement", judged)
    for group in ask(base, "rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                sys.exit(f"{rule['name']}: {rule['lastError']}")
    # What the test did: a file that cannot be served, and calls that crash.
    for name in ["UnblockTaskNotLoaded", "UnblockCallsFail"]:
        until(f"{name} to be pending", lambda: any(
            rule["name"] == name and rule["state"] in ("pending", "firing")
            for group in ask(base, "rules")["groups"]
            for rule in group["rules"]
        ))
    print(f"metrics-test: Prometheus answers {len(asked)} expressions and judges {len(found)} rules")


if __name__ == "__main__":
    main()
