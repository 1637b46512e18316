"""Jobs of a workflow, run here: order, conditions, environment, outputs, and that nothing unknown is passed over."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tools.ci.job import Call, Job, JobResult, Unsupported


def run(folder: Path, steps: str, head: str = "", **settings: Any) -> JobResult:
    workflow = folder / "workflow.yml"
    indented = "".join(f"      {line}\n" for line in steps.splitlines())
    workflow.write_text(f"jobs:\n  one:\n    runs-on: here\n{head}    steps:\n{indented}")
    job = Job(
        folder,
        {"PATH": os.environ["PATH"]},
        {"event_name": "push", "ref": "main", "token": "hidden"},
        settings.pop("actions", {}),
        **settings,
    )
    return job.run(workflow, "one")


def test_what_a_step_writes_the_next_ones_have(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """\
- id: first
  run: |
    echo "A=one" >> "$GITHUB_ENV"
    printf 'B<<END\\ntwo\\nlines\\nEND\\n' >> "$GITHUB_ENV"
    echo "found=it" >> "$GITHUB_OUTPUT"
    mkdir bin && printf '#!/bin/sh\\necho ours' > bin/tool && chmod +x bin/tool
    echo "$PWD/bin" >> "$GITHUB_PATH"
- name: second
  env: {C: "${{ steps.first.outputs.found }}", D: "${{ vars.V }}${{ secrets.S }}"}
  run: echo "$A/$B/$C/$D/$(tool)/$GITHUB_REF/$GITHUB_EVENT_NAME/$GITHUB_TOKEN" && echo seen >> "$GITHUB_STEP_SUMMARY"
""",
        variables={"V": "v"},
        secrets={"S": "s"},
    )
    assert result.succeeded
    assert result.step("second").output == "one/two\nlines/it/vs/ours/main/push/\n"
    assert result.summary == "seen\n"


def test_after_a_failure_only_what_asks_for_it_runs(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        """\
- name: fails
  run: echo before; false; echo after
- name: usual
  run: echo never
- name: anyway
  if: ${{ !cancelled() && hashFiles('workflow.yml') != '' }}
  run: echo anyway
- name: not even then
  if: always() && hashFiles('none') != ''
  run: echo never
- name: only then
  if: failure()
  run: echo sorry
""",
    )
    assert not result.succeeded
    assert [step.outcome for step in result.steps] == ["failure", "skipped", "success", "skipped", "success"]
    assert result.step("fails").output == "before\n"


def test_the_shells_are_githubs(tmp_path: Path) -> None:
    piped = "run: false | true"
    assert run(tmp_path, f"- {piped}").succeeded
    assert not run(tmp_path, f"- shell: bash\n  {piped}").succeeded


def test_a_jobs_own_condition(tmp_path: Path) -> None:
    assert not run(tmp_path, "- run: 'true'", head="    if: github.event_name == 'pull_request'\n").ran
    assert run(
        tmp_path, "- run: 'true'", head="    if: github.event_name == 'push' && github.ref == 'main'\n"
    ).succeeded


def test_an_action_of_the_repository_stands_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "action.yml").write_text(
        "inputs: {who: {required: true}, greeting: {default: hello}}\n"
        "runs:\n  using: composite\n  steps:\n"
        "    - {id: say, shell: bash, run: 'echo ${{ inputs.greeting }} ${{ inputs.who }} && echo x=1 >> $GITHUB_OUTPUT'}\n"
        "    - {name: other, uses: somebody/theirs@v1, with: {x: '${{ steps.say.outputs.x }}', y: true}}\n"
    )
    seen = []

    def theirs(call: Call) -> None:
        seen.append(dict(call.inputs))
        call.environment["LEFT"] = "behind"

    steps = '- uses: ./mine\n  with: {who: world}\n- name: after\n  run: echo "$LEFT"'
    result = run(tmp_path, steps, actions={"somebody/theirs": theirs})
    assert result.told().count("hello world") == 1
    assert seen == [{"x": "1", "y": "true"}]
    assert result.step("after").output == "behind\n"
    with pytest.raises(Unsupported, match="needs the input who"):
        run(tmp_path, "- uses: ./mine", actions={})


@pytest.mark.parametrize(
    ("steps", "head", "expected"),
    [
        ("- run: 'true'\n  continue-on-error: true", "", "continue-on-error"),
        ("- run: 'true'", "    strategy: {matrix: {a: [1]}}\n", "strategy"),
        ("- uses: somebody/unknown@v1", "", "somebody/unknown"),
        ("- run: 'true'\n  shell: pwsh", "", "pwsh"),
    ],
)
def test_what_would_not_be_done_raises(steps: str, head: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=expected):
        run(tmp_path, steps, head)
