# Makes every physical network card ask for its address and its name servers.
$ErrorActionPreference = 'Stop'
foreach ($card in Get-NetAdapter -Physical) {
    Set-NetIPInterface -InterfaceIndex $card.ifIndex -Dhcp Enabled
    Set-DnsClientServerAddress -InterfaceIndex $card.ifIndex -ResetServerAddresses
    Get-NetRoute -InterfaceIndex $card.ifIndex -DestinationPrefix '0.0.0.0/0' -PolicyStore PersistentStore -ErrorAction SilentlyContinue |
        Remove-NetRoute -Confirm:$false
    Write-Output "$($card.Name): by DHCP"
}
