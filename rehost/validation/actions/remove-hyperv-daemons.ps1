# Integration services are a part of Windows, and their services start where Hyper-V is: there is nothing to remove.
Write-Output 'removed: nothing; integration services are a part of Windows'
