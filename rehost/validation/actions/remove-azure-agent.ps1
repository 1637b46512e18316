# Removes Azure's VM agent: its MSI product where it has one, and its services. Where there are none, it has nothing to do.
# Extensions are started by the agent alone; their files stay in C:\Packages and C:\WindowsAzure.
$ErrorActionPreference = 'Stop'
$keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*', 'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*'
$removed = @()
$names = 'WindowsAzureGuestAgent', 'WindowsAzureTelemetryService', 'RdAgent'
foreach ($service in Get-Service -Name $names -ErrorAction SilentlyContinue) {
    Stop-Service -Name $service.Name -Force -ErrorAction SilentlyContinue
    Set-Service -Name $service.Name -StartupType Disabled
}
$products = Get-ItemProperty $keys -ErrorAction SilentlyContinue | Where-Object { $_.DisplayName -like 'Windows Azure VM Agent*' -and $_.PSChildName -like '{*}' }
foreach ($product in $products) {
    $done = Start-Process msiexec.exe -ArgumentList '/x', $product.PSChildName, '/qn', '/norestart' -Wait -PassThru
    # 3010: done, and a restart is due, which is left to whoever runs the server.
    if ($done.ExitCode -notin 0, 1605, 3010) { throw "msiexec ended with exit code $($done.ExitCode)" }
    $removed += $product.DisplayName
}
foreach ($service in Get-Service -Name $names -ErrorAction SilentlyContinue) {
    & sc.exe delete $service.Name | Out-Null
    # 1072: it goes with the next restart.
    if ($LASTEXITCODE -notin 0, 1060, 1072) { throw "sc delete $($service.Name) ended with exit code $LASTEXITCODE" }
    $removed += $service.Name
}
if ($removed) { Write-Output "removed: $($removed -join ', ')" } else { Write-Output 'removed: nothing' }
exit 0
