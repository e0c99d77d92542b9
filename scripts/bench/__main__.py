"""Postern beside other forwarders on the same packets. Run by scripts/bench.sh; docs/benchmarks.md says
what the figures mean."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import signal
import sys
import time

import columns as all_columns
import picture
import plan
import report
from lab import Lab, Unavailable
from load import Load
from ovs import OpenVSwitch
from peers import Kernel, Loopback, Pasta, Plain, Postern, Slirp
from profiles import Big, Small

PEERS = (Postern, Kernel, Loopback, Plain, OpenVSwitch, Slirp, Pasta)
PROFILES = (Small, Big)
# What the whole run may take: the limits, less the time to write the report.
LIMIT, QUICK_LIMIT = 44 * 60, 170


def options():
    keys = [peer.key for peer in (*PEERS, *PROFILES)]
    names = [column.key for column in all_columns.ALL]
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round, too short to quote")
    parser.add_argument("--workers", default=os.environ.get("POSTERN_WORKERS"), help="passed on to `postern run`")
    parser.add_argument("--rounds", type=int, help="rounds of Postern and the kernel (5)")
    parser.add_argument("--seconds", type=int, help="length of each of their measurements (10)")
    parser.add_argument("--only", help=f"these peers alone, of {','.join(keys)}")
    parser.add_argument("--columns", help=f"these columns alone, of {','.join(names)}")
    parser.add_argument("--plan", action="store_true", help="print how long it would take, and end")
    parser.add_argument("--postern", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--load", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",") if chosen.only else keys
    chosen.columns = chosen.columns.split(",") if chosen.columns else names
    for name, known in ((chosen.only, keys), (chosen.columns, names)):
        if unknown := set(name) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return chosen


def facts(chosen, planned, rounds, seconds):
    model = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    workers = f" --workers {chosen.workers}" if chosen.workers else ""
    return {
        "command": " ".join(["scripts/bench.sh", *sys.argv[7:]]),
        "quick": chosen.quick,
        "begun": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} CPUs, {model[0] if model else platform.machine()}, Linux {platform.release()}",
        "load before": f"{os.getloadavg()[0]:.2f} runnable on average over the last minute",
        "rounds": f"{rounds} of {seconds} s for Postern and the kernel; MTU 1500; `postern run{workers}`",
        "planned": plan.clock(plan.duration(planned)),
    }


def measure(lab, step, chosen):
    """One step, from an empty router to an empty router."""
    peer = step.peer
    try:
        peer.start()
        if step.column.kind == "live":
            return peer.measure(step.column, step.seconds)
        return Load(lab, peer, chosen.load).measure(step.column, step.seconds)
    except (Unavailable, OSError, ValueError, KeyError) as error:
        return {"error": str(error) or type(error).__name__}
    finally:
        peer.stop()


def run(lab, planned, chosen, limit):
    """All steps. One that fails says why and costs no other; what would end too late is not begun."""
    samples, begin = [], time.monotonic()
    for at, step in enumerate(planned, 1):
        here = {"round": step.round, "peer": step.peer.key, "column": step.column.key}
        spent = time.monotonic() - begin
        if spent + step.duration > limit:
            sample = {"error": f"out of time after {plan.clock(spent)}"}
        else:
            sample = measure(lab, step, chosen)
        samples.append({**here, "unit": step.column.unit, **sample})
        said = f"NOT MEASURED: {sample['error']}" if "error" in sample else line(sample, step.column)
        print(f"{at}/{len(planned)} {plan.clock(spent)}  {step.column.key:14} {step.peer.key:12} {said}", flush=True)
    return samples


def line(sample, column):
    rate = report.short(sample["rate"])
    return f"{rate:>7} {column.unit}, {sample['busy_cpus']:.2f} CPUs busy"


def write(out, samples, facts, columns, peers, profiles):
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps({"facts": facts, "samples": samples}, indent=1) + "\n")
    text = report.markdown(samples, columns, peers, profiles, facts)
    (out / "report.md").write_text(text)
    note = "too short to quote; " if facts["quick"] else ""
    (out / "bench.svg").write_text(picture.svg(samples, columns, peers, f"{note}{facts['machine']}; {facts['rounds']}"))
    print(f"\n{text}\nWritten: bench.json, report.md and bench.svg in {out}")


def main():
    chosen = options()
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    seconds = chosen.seconds or (1 if chosen.quick else 10)
    fewer_rounds, fewer_seconds = min(rounds, 1 if chosen.quick else 2), min(seconds, 3)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    columns = [column for column in all_columns.ALL if column.key in chosen.columns]
    lab = Lab()
    try:
        peers = [peer(lab, chosen) for peer in PEERS if peer.key in chosen.only]
        Small.opening = 20 if chosen.quick else 60
        profiles = [peer(lab, chosen) for peer in PROFILES if peer.key in chosen.only]
        planned = plan.steps(
            columns, [*peers, *profiles], rounds, seconds, fewer_rounds, fewer_seconds, chosen.quick
        )
        about = facts(chosen, planned, rounds, seconds)
        print(f"{len(planned)} measurements, about {about['planned']}")
        if chosen.plan:
            return
        lab.open()
        about["congestion control"] = f"{lab.congestion} at both ends, where a column names no other"
        samples = run(lab, planned, chosen, QUICK_LIMIT if chosen.quick else LIMIT)
    finally:
        # A second signal must not leave anything behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        lab.close()
    write(chosen.out, samples, about, columns, peers, profiles)


if __name__ == "__main__":
    main()
