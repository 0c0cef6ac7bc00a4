# Takes away the installation that this file lies in, and nothing else: results and own files stay.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$prefix = Split-Path -Parent $MyInvocation.MyCommand.Path
if (-not (Test-Path -LiteralPath (Join-Path $prefix '.mediseg-installation'))) {
    [Console]::Error.WriteLine("uninstall.ps1: $prefix is no installation of mediseg")
    exit 1
}
$parts = 'env', 'models', 'pipelines', 'licences', 'bin', 'sbom.cdx.json', 'bundle.json', 'doctor.html',
    '.mediseg-installation', 'uninstall.ps1'
foreach ($part in $parts) {
    $path = Join-Path $prefix $part
    if (Test-Path -LiteralPath $path) { Remove-Item -LiteralPath $path -Recurse -Force }
}
if (@(Get-ChildItem -LiteralPath $prefix -Force).Count -eq 0) { Remove-Item -LiteralPath $prefix }
else { Write-Output "other files stay in $prefix" }
