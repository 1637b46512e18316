# Uninstalls VMware Tools by its MSI product. Where there are none, it has nothing to do.
$ErrorActionPreference = 'Stop'
$keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*', 'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*'
$products = Get-ItemProperty $keys -ErrorAction SilentlyContinue | Where-Object { $_.DisplayName -eq 'VMware Tools' -and $_.PSChildName -like '{*}' }
foreach ($product in $products) {
    $done = Start-Process msiexec.exe -ArgumentList '/x', $product.PSChildName, '/qn', '/norestart' -Wait -PassThru
    # 3010: done, and a restart is due, which is left to whoever runs the server.
    if ($done.ExitCode -notin 0, 1605, 3010) { throw "msiexec ended with exit code $($done.ExitCode)" }
    Write-Output "removed $($product.DisplayVersion)"
}
if (-not $products) { Write-Output 'removed: nothing' }
