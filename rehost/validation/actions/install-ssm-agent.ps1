# Installs the SSM agent from AWS's own bucket of the instance's region, and leaves one that is there alone.
$ErrorActionPreference = 'Stop'
if (-not (Get-Service AmazonSSMAgent -ErrorAction SilentlyContinue)) {
    $token = Invoke-RestMethod -Method PUT -Headers @{'X-aws-ec2-metadata-token-ttl-seconds' = '300'} http://169.254.169.254/latest/api/token
    $region = Invoke-RestMethod -Headers @{'X-aws-ec2-metadata-token' = $token} http://169.254.169.254/latest/meta-data/placement/region
    $file = Join-Path $env:TEMP 'AmazonSSMAgentSetup.exe'
    [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
    Invoke-WebRequest -UseBasicParsing "https://s3.$region.amazonaws.com/amazon-ssm-$region/latest/windows_amd64/AmazonSSMAgentSetup.exe" -OutFile $file
    Start-Process -FilePath $file -ArgumentList '/S' -Wait
}
Set-Service AmazonSSMAgent -StartupType Automatic
Start-Service AmazonSSMAgent
