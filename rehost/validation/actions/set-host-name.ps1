# Gives the guest the name in REHOST_NAME. Exit code 3010 lets the SSM agent restart it, and come back here.
$ErrorActionPreference = 'Stop'
if ($env:COMPUTERNAME -ieq $env:REHOST_NAME) {
    Write-Output "the name is $env:COMPUTERNAME"
    exit 0
}
Rename-Computer -NewName $env:REHOST_NAME -Force
exit 3010
