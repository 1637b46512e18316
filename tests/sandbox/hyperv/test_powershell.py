"""The interpreter against what Windows PowerShell 5.1 does (about_* pages of learn.microsoft.com/powershell)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.hyperv.powershell import PowerShellError, Stopped, Unsupported
from tests.sandbox.hyperv.conftest import Written, run


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # about_Case-Sensitivity, about_Comparison_Operators
        ("$Name = 'A'; $NAME -eq 'a'", [True]),
        ("'a' -ceq 'A'", [False]),
        ("@(1, 2, 3, 2) -eq 2", [2, 2]),
        ("@(1, 2) -ne 1", [2]),
        ("@('a', 'B') -contains 'b'", [True]),
        ("'a' -notcontains 'b'", [True]),
        ("2 -in 1, 2", [True]),
        ("'web-01' -like 'WEB-*'", [True]),
        ("'web-01' -match '^web-\\d+$'", [True]),
        ("'10' -eq 10", [True]),
        ("10 -eq '10'", [True]),
        ("1 -lt 2 -and -not ('a' -eq 'b')", [True]),
        ("$true -xor $true", [False]),
        ("'a,b' -split ','", ["a", "b"]),
        ("'a-b' -replace '(\\w)-(\\w)', '$2-$1'", ["b-a"]),
        ("1, 2 -join '+'", ["1+2"]),
        ("5 -is [int]", [True]),
        ("6 -band 3", [2]),
        # about_Booleans: $null, '', 0, an empty array; a single-element array is its element
        ("@($null, '', 0, @(), @(0)) | ForEach-Object { [bool]$_ }", [False] * 5),
        ("$x = @(0); if ($x) { 'yes' } else { 'no' }", ["no"]),
        ("$x = @(0, 0); if ($x) { 'yes' } else { 'no' }", ["yes"]),
        # $null: counts nothing, is less than nothing, has no members
        ("$null.Count; $nothing.Some.Thing -eq $null", [0, True]),
        ("$null -eq @(1, $null)", [False]),
        ("foreach ($each in $null) { 'never' }", []),
        ("@($null).Count", [1]),
        ("@(foreach ($each in @()) { $each }).Count", [0]),
        # Arrays: one element comes out of a pipeline alone, none as nothing
        ("$x = @(1) | ForEach-Object { $_ }; $x.GetType().Name", ["Int32"]),
        ("$x = @(1); $x.GetType().Name", ["Object[]"]),
        ("$x = @() | ForEach-Object { $_ }; $null -eq $x", [True]),
        ("(,@(1, 2)).Count", [1]),
        ("$x = @(); $x += 1; $x += @(2, 3); $x.Count", [3]),
        ("$x = 1..5; $x[0]; $x[-1]; $x[9]; $x.Length", [1, 5, None, 5]),
        ("@(@{ n = 1 }, @{ n = 2 }).n", [1, 2]),
        ("'text'.Count; (5).Count", [1, 1]),
        # Hashtables and objects
        (
            "$h = @{ One = 1 }; $h.two = 2; $h['one'] + $h.TWO; $h.Count; $h.ContainsKey('ONE'); $h.three -eq $null",
            [3, 2, True, True],
        ),
        ("(@{ a = 1 } + @{ b = 2 }).Keys", ["a", "b"]),
        ('$o = [pscustomobject]@{ a = 1 }; "$o"; $o.A', ["@{a=1}", 1]),
        # Strings: about_Quoting_Rules
        ("$a = 1; \"$a $($a + 1) `$a `\"q`\" ${a}b\"; 'it''s $a'", ['1 2 $a "q" 1b', "it's $a"]),
        ("'{0}-{1:D3}-{2:X2}{{}}' -f 'a', 7, 255", ["a-007-FF{}"]),
        ("'{0,4}|{1,-3}|' -f 1, 2", ["   1|2  |"]),
        ("\"$(@(1, 2))\"; [string]$null -eq ''", ["1 2", True]),
        ("'a' + 1; 1 + '2'", ["a1", 3]),
        # Numbers: a cast rounds half to even, as .NET does
        (
            "[int]2.5; [int]3.5; [int]'0x10'; 7 % 3; -7 % 3; 7 / 2; 6 / 2; 1kb; 2gb",
            [2, 4, 16, 1, -1, 3.5, 3, 1024, 2 << 30],
        ),
        ("[uint64]'18446744073709551615'", [2**64 - 1]),
        ("[int[]]@('1', 2)", [1, 2]),
        # Flow: about_Foreach, about_While, about_Break, about_Return
        ("foreach ($i in 1..5) { if ($i -eq 2) { continue }; if ($i -eq 4) { break }; $i }", [1, 3]),
        ("$i = 0; while ($true) { $i++; if ($i -ge 3) { break } }; $i", [3]),
        ("if ($false) { 1 } elseif (1 -gt 0) { 2 } else { 3 }", [2]),
        ("1; return 2; 3", [1, 2]),
        # Pipelines
        ("1..6 | Where-Object { $_ % 2 -eq 0 } | Select-Object -First 2", [2, 4]),
        ("3, 1, 2 | Sort-Object -Descending", [3, 2, 1]),
        ("@{ n = 2 }, @{ n = 1 } | Sort-Object -Property n | ForEach-Object { $_.n }", [1, 2]),
        ("1, 2 | Out-Null", []),
        ("(1, 2, 3 | Measure-Object).Count", [3]),
        ("1, 1, 2 | Select-Object -Unique", [1, 2]),
        ("@{ a = @{ b = 1 } } | Select-Object -ExpandProperty a | ForEach-Object { $_.b }", [1]),
        # .NET
        ("[string]::Join('/', @('a', 'b')); [string]::IsNullOrEmpty('')", ["a/b", True]),
        ("[System.Text.Encoding]::Unicode.GetString([System.Text.Encoding]::Unicode.GetBytes('é'))", ["é"]),
        ("' x '.Trim().ToUpper(); 'abc'.Substring(1); 'abc'.Replace('b', '')", ["X", "bc", "ac"]),
    ],
)
def test_scripts(script: str, expected: list[Any]) -> None:
    assert run(script) == expected


def test_errors_are_caught_and_thrown_again() -> None:
    script = """
    $found = @()
    try { throw 'first' } catch { $found += $_.Exception.Message; $found += $_.FullyQualifiedErrorId } finally { $found += 'finally' }
    try { try { throw ('{0} again' -f 'second') } catch { throw } } catch { $found += [string]$_ }
    try { Get-Absent -Thing 1 } catch [System.Management.Automation.CommandNotFoundException] { $found += [string]$_.CategoryInfo.Category }
    try { $null.Trim() } catch { $found += $_.FullyQualifiedErrorId }
    $ErrorActionPreference = 'Stop'
    try { Write-Error 'third'; $found += 'never' } catch { $found += $_.Exception.Message }
    $found
    """
    assert run(script) == [
        "first",
        "first",
        "finally",
        "second again",
        "ObjectNotFound",
        "InvokeMethodOnNull",
        "third",
    ]


def test_error_actions() -> None:
    streams = Written()
    assert run("Write-Error 'shown'; Write-Error 'silent' -ErrorAction SilentlyContinue; 1", streams=streams) == [1]
    assert [info.message for info in streams.errors] == ["shown"]
    with pytest.raises(PowerShellError, match="fatal"):
        run("Write-Error 'fatal' -ErrorAction Stop; 1")


def test_parameters_are_bound_cast_and_demanded() -> None:
    script = "param([Parameter(Mandatory = $true)][string]$Id, [int]$Level = 2, [switch]$Force) $Id; $Level; $Force"
    assert run(script, id=7) == ["7", 2, False]
    assert run(script, Id="x", Level="3", Force=True) == ["x", 3, True]
    for parameters, error in (
        ({}, "MissingMandatoryParameter"),
        ({"Id": "x", "Levle": 1}, "NamedParameterNotFound"),
        ({"Id": "x", "Level": "many"}, "ParameterArgumentTransformationError"),
    ):
        with pytest.raises(PowerShellError) as raised:
            run(script, **parameters)
        assert raised.value.info.error_id == error


@pytest.mark.parametrize(
    ("script", "written"),
    [
        # Convert-To-Json of 5.1: JavaScriptSerializer's escapes, dates, enumerations as numbers.
        (
            "ConvertTo-Json -InputObject @{ a = \"<b> & 'c'\" } -Compress",
            '{"a":"\\u003cb\\u003e \\u0026 \\u0027c\\u0027"}',
        ),
        (
            "ConvertTo-Json -InputObject @{ d = [datetime]'2026-01-02T03:04:05+00:00' } -Compress",
            '{"d":"\\/Date(1767323045000)\\/"}',
        ),
        # One element: alone out of a pipeline, an array as -InputObject.
        ("@(1) | ConvertTo-Json -Compress", "1"),
        ("ConvertTo-Json -InputObject @(1) -Compress", "[1]"),
        ("ConvertTo-Json -InputObject @() -Compress", "[]"),
        (
            "ConvertTo-Json -InputObject @{ a = @($null); n = $null; t = $true } -Compress",
            '{"a":[null],"n":null,"t":true}',
        ),
        # -Depth: 2 by default; what is deeper becomes text.
        (
            "ConvertTo-Json -InputObject @{ a = @{ b = @{ c = @{ d = 1 } } } } -Compress",
            '{"a":{"b":{"c":"System.Collections.Hashtable"}}}',
        ),
        ("ConvertTo-Json -InputObject @{ a = @(@{ x = @(1, 2) }) } -Depth 2 -Compress", '{"a":[{"x":"1 2"}]}'),
        ("ConvertTo-Json -InputObject @{ a = @(@{ x = @(1, 2) }) } -Depth 3 -Compress", '{"a":[{"x":[1,2]}]}'),
        (
            "ConvertTo-Json -InputObject @{ a = 1; b = @(1) }",
            '{\r\n    "a":  1,\r\n    "b":  [\r\n        1\r\n    ]\r\n}',
        ),
    ],
)
def test_json_as_windows_powershell_writes_it(script: str, written: str) -> None:
    (found,) = run(script)
    assert found == written
    json.loads(found)


def test_json_is_read() -> None:
    assert run('$x = \'{"a": [1, {"b": null}]}\' | ConvertFrom-Json; $x.a[0]; $x.a[1].b -eq $null') == [1, True]
    with pytest.raises(PowerShellError, match="Invalid JSON primitive"):
        run("ConvertFrom-Json '{'")


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("Get-Weather", "the command Get-Weather"),
        ("1 | Where-Object -Sometimes 1", "the parameter -Sometimes of Where-Object"),
        ("'a'.Bark()", "the method Bark of System.String"),
        ("[System.IO.File]::ReadAllText('x')", "[System.IO.File]::ReadAllText()"),
        ("[Weather]1", "the type [Weather]"),
        ("switch (1) { 1 { 2 } }", "switch_statement"),
        ("function f { 1 }", "function_statement"),
        ("Out-Null extra", "the argument extra of Out-Null"),
        ("$env:PATH", "the variable $env:PATH"),
        ("'x' -f 1 -shl 2", "-shl"),
        ("Start-Sleep -Seconds 1 2>&1", "redirection"),
        ("try { Get-Weather } catch { 1 }", "the command Get-Weather"),
        ("Get-Weather -ErrorAction SilentlyContinue", "the command Get-Weather"),
    ],
)
def test_what_is_not_known_is_named_and_cannot_be_caught(script: str, named: str) -> None:
    with pytest.raises(Unsupported) as raised:
        run(script)
    assert named in str(raised.value)


def test_no_powershell_is_a_parse_error_with_its_line() -> None:
    with pytest.raises(PowerShellError) as raised:
        run("$x = 1\nif ($x {")
    assert raised.value.info.category == "ParserError"
    assert "line:2" in str(raised.value)


def test_a_script_that_is_stopped_ends() -> None:
    streams = Written()
    streams.stopped = True
    with pytest.raises(Stopped):
        run("while ($true) { $x = 1 }", streams=streams)
