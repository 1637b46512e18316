"""`make bench PART=pipeline`: every case, in alternation with its peer, and what came out.

    python -m bench.pipeline [--runs N] [--quick] [--only TEXT] [--layers] [--profile] [--keep]

`--quick` measures a quarter of the data twice, to see that all of it works. Results: build/bench/pipeline.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from bench import _endpoint, _setup
from bench._cases import Case, Command, Workshop
from bench._measure import BenchError, Sample, run, summary
from tools._errors import SetupError
from tools._paths import ROOT

FOLDER = ROOT / "build" / "bench"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser("python -m bench.pipeline", description=__doc__)
    parser.add_argument("--runs", type=int, help="of each case (5)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--layers", action="store_true", help="measure the HTTP layers in place of the cases")
    parser.add_argument(
        "--profile", action="store_true", help="draw a flame graph of a full upload in place of the cases"
    )
    parser.add_argument("--keep", action="store_true", help="keep the disks")
    given = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as running:
            if not given.keep:
                running.callback(_remove_disks)
            program = _endpoint.build(FOLDER)
            plain = running.enter_context(_endpoint.Endpoint(program, FOLDER, secure=False))
            secure = running.enter_context(_endpoint.Endpoint(program, FOLDER, secure=True))
            shop = Workshop(FOLDER, _setup.python(), _setup.coldsnap(), plain, secure, quick=given.quick)
            runs = given.runs or (2 if given.quick else 5)
            if given.layers:
                return _layers(shop, runs)
            if given.profile:
                return _profile(shop)
            return _cases(shop, runs, given.only)
    except (BenchError, SetupError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _cases(shop: Workshop, runs: int, only: str) -> int:
    ceilings = {
        name: each.ceiling(shop.environment(each)) for name, each in (("plain", shop.plain), ("tls", shop.secure))
    }
    print(f"endpoint alone: {ceilings['plain']:,.0f} MiB/s over plain HTTP, {ceilings['tls']:,.0f} MiB/s over TLS")
    results, floors = [], {}
    for case in shop.cases():
        if only not in case.name:
            continue
        result = _case(shop, case, runs)
        results.append(result)
        if "floor" in result:
            floors["tls" if case.endpoint.secure else "plain"] = result["floor"]
        print(_line(result), flush=True)
    found = {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "endpoint_ceiling_mib_s": round(ceilings["plain"]),
        "endpoint_ceiling_tls_mib_s": round(ceilings["tls"]),
        "floor": floors,
        "cases": results,
    }
    target = FOLDER / "pipeline.json"
    target.write_text(json.dumps(found, indent=2) + "\n")
    print(f"written to {target.relative_to(ROOT)}")
    return 0


def _case(shop: Workshop, case: Case, runs: int) -> dict[str, object]:
    result: dict[str, object] = {"name": case.name, "what": case.what, "mib": case.mib}
    peer_runs = case.peer_runs or runs
    try:
        peer = _best(shop, case) if case.peer else None
    except BenchError as error:
        peer, result["peer"] = None, {"failed": str(error)}
    samples: dict[str, list[Sample]] = {"ours": [], "peer": [], "floor": []}
    for number in range(runs):
        samples["ours"].append(_measured(shop, case, case.ours))
        if peer is not None and number < peer_runs:
            samples["peer"].append(_measured(shop, case, peer))
        if case.floor is not None:
            samples["floor"].append(_measured(shop, case, case.floor))
    for who, each in samples.items():
        if each:
            result[who] = summary(each)
    for who in ("peer", "floor"):
        if samples[who]:
            suffix = "" if who == "peer" else "_floor"
            result[f"ratio_seconds{suffix}"] = _ratio(
                [each.seconds for each in samples["ours"]], [each.seconds for each in samples[who]]
            )
            result[f"ratio_cpu{suffix}"] = _ratio(
                [each.cpu_seconds for each in samples["ours"]], [each.cpu_seconds for each in samples[who]]
            )
    if peer is not None:
        result["peer_command"] = [str(part) for part in peer]
    return result


def _ratio(ours: Sequence[float], peers: Sequence[float]) -> float:
    """Of the medians."""
    return round(statistics.median(ours) / statistics.median(peers), 3)


def _best(shop: Workshop, case: Case) -> Command:
    """The peer with the flags that it is fastest with, each tried once."""
    assert case.peer is not None  # noqa: S101 - asked for before
    tried: list[tuple[float, Command]] = []
    problem: BenchError | None = None
    for flags in case.peer_flags:
        command = [*case.peer, *flags]
        if len(case.peer_flags) == 1:
            return command
        try:
            tried.append((_measured(shop, case, command).seconds, command))
        except BenchError as error:
            problem = error
    if not tried:
        raise problem or BenchError("no flags were given")
    return min(tried, key=lambda each: each[0])[1]


def _measured(shop: Workshop, case: Case, command: Command) -> Sample:
    case.endpoint.set(**case.settings)
    sample = run(command, shop.environment(case.endpoint))
    counts = case.endpoint.counts()
    case.endpoint.forget()
    return Sample(sample.seconds, sample.cpu_seconds, sample.max_rss_mib, sample.output, counts)


def _line(result: dict[str, object]) -> str:
    def figures(who: str) -> str:
        each = result.get(who)
        if not isinstance(each, dict):
            return " " * 26
        if "failed" in each:
            return f"{'failed':>26}"
        return f"{each['seconds']:8.2f} s {each['cpu_seconds']:7.2f} CPU {each['max_rss_mib']:4.0f} M"

    ratios = f"{result.get('ratio_seconds', '-')!s:>6} {result.get('ratio_cpu', '-')!s:>6} floor {result.get('ratio_cpu_floor', '-')!s}"
    return f"{result['name']!s:<36} ours {figures('ours')}   peer {figures('peer')}   {ratios}"


def _layers(shop: Workshop, runs: int) -> int:
    python = _setup.bench_python()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for endpoint, name in ((shop.plain, "plain"), (shop.secure, "tls")):
        measured: dict[str, list[dict[str, float]]] = {layer: [] for layer in _setup.LAYERS}
        for _ in range(runs):
            for layer, each in measured.items():
                ca = [endpoint.ca] if endpoint.secure else []
                sample = run(
                    [python, "-m", "bench.layers", layer, endpoint.url, shop.dense, "4", *ca],
                    shop.environment(endpoint),
                )
                each.append(json.loads(sample.output))
        found[name] = {
            layer: {key: round(statistics.median(one[key] for one in each), 3) for key in ("seconds", "cpu_seconds")}
            for layer, each in measured.items()
        }
        for layer, figures in found[name].items():
            print(f"{name:<6} {layer:<22} {figures['seconds']:7.2f} s {figures['cpu_seconds']:7.2f} CPU-s")
    (FOLDER / "layers.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _profile(shop: Workshop) -> int:
    target = FOLDER / "upload.svg"
    command = [_setup.py_spy(), "record", "--native", "--rate", "500", "--output", target, "--", *shop.cases()[0].ours]
    run(command, shop.environment(shop.plain))
    print(f"written to {target.relative_to(ROOT)}")
    return 0


def _remove_disks() -> None:
    for each in (
        *FOLDER.glob("*.raw"),
        *FOLDER.glob(".*.partial"),
        *FOLDER.glob("snap-*"),
        *FOLDER.glob("tiled-parent*"),
    ):
        each.unlink(missing_ok=True)
    shutil.rmtree(FOLDER / "manifests", ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
