# The power of a virtual machine. Action: state, start, shutdown (asks the guest, and returns at once), off, save.
param(
    [Parameter(Mandatory = $true)][string]$Id,
    [Parameter(Mandatory = $true)][string]$Action
)

$ErrorActionPreference = 'Stop'

$machine = Get-VM -Id $Id
$asked = $true
if ($Action -eq 'start') {
    if ([string]$machine.State -eq 'Paused') {
        Resume-VM -VM $machine
    } else {
        Start-VM -VM $machine
    }
} elseif ($Action -eq 'off') {
    Stop-VM -VM $machine -TurnOff -Force
} elseif ($Action -eq 'save') {
    Save-VM -VM $machine
} elseif ($Action -eq 'shutdown') {
    # Stop-VM waits until the guest is down; the component only asks it.
    $component = Get-CimInstance -Namespace root\virtualization\v2 -ClassName Msvm_ShutdownComponent -Filter ("SystemName='{0}'" -f $Id)
    $asked = $false
    if ($component) {
        $result = Invoke-CimMethod -InputObject $component -MethodName InitiateShutdown -Arguments @{ Force = $true; Reason = 'rehost: final replication' }
        $asked = $result.ReturnValue -eq 0 -or $result.ReturnValue -eq 4096 -or $result.ReturnValue -eq 32782
    }
}

$machine = Get-VM -Id $Id
ConvertTo-Json -InputObject @{ state = [string]$machine.State; asked = $asked } -Compress
