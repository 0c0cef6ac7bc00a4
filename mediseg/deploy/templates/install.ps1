# Installs mediseg from this folder: a private virtual environment, no administrator, no network.
#   powershell -ExecutionPolicy Bypass -File install.ps1 [-Prefix FOLDER] [-Python PATH] [-NoDoctor]
# An installation that is there already is renewed. Works with Windows PowerShell 5.1 and PowerShell 7.
param(
    [string]$Prefix = (Join-Path $env:LOCALAPPDATA 'mediseg'),
    [string]$Python = '',
    [switch]$NoDoctor
)
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$mark = '.mediseg-installation'

function Stop-Installation([string]$Message) {
    [Console]::Error.WriteLine("install.ps1: $Message")
    exit 1
}

function Invoke-Program([string]$Program, [string[]]$Arguments, [string]$Message) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { Stop-Installation $Message }
}

if ($Python -eq '') {
    $launcher = Get-Command 'py.exe' -ErrorAction SilentlyContinue
    if ($null -ne $launcher) {
        $Python = (& $launcher.Source '-@PYTHON@' '-c' 'import sys; print(sys.executable)')
        if ($LASTEXITCODE -ne 0) { $Python = '' }
    }
}
if ([string]::IsNullOrEmpty($Python)) {
    Stop-Installation 'there is no Python @PYTHON@; install it, or name it: install.ps1 -Python C:\...\python.exe'
}
$test = 'import sys, struct; sys.exit(''%d.%d'' % sys.version_info[:2] != ''@PYTHON@'' or struct.calcsize(''P'') != 8)'
Invoke-Program $Python @('-c', $test) "$Python is not a 64-bit Python @PYTHON@, for which this bundle was made"

$sums = Join-Path $here 'SHA256SUMS'
if (-not (Test-Path -LiteralPath $sums)) {
    Stop-Installation 'SHA256SUMS is missing: the bundle was not copied to its end; copy it again'
}
foreach ($line in [System.IO.File]::ReadAllLines($sums)) {
    $wanted = $line.Substring(0, 64)
    $name = $line.Substring(66)
    $file = Join-Path $here ($name -replace '/', '\')
    if (-not (Test-Path -LiteralPath $file)) { Stop-Installation "$name is missing; copy the bundle again" }
    $found = (Get-FileHash -LiteralPath $file -Algorithm SHA256).Hash
    if ($found -ne $wanted) { Stop-Installation "$name is damaged; copy the bundle again" }
}

$markFile = Join-Path $Prefix $mark
if ((Test-Path -LiteralPath $Prefix) -and -not (Test-Path -LiteralPath $markFile)) {
    if (@(Get-ChildItem -LiteralPath $Prefix -Force).Count -gt 0) {
        Stop-Installation "$Prefix holds other files; name a new folder: install.ps1 -Prefix FOLDER"
    }
}
New-Item -ItemType Directory -Force -Path $Prefix | Out-Null
Set-Content -LiteralPath $markFile -Value 'mediseg'
foreach ($part in 'env', 'models', 'pipelines', 'licences', 'bin') {
    $old = Join-Path $Prefix $part
    if (Test-Path -LiteralPath $old) { Remove-Item -LiteralPath $old -Recurse -Force }
}

$environment = Join-Path $Prefix 'env'
Invoke-Program $Python @('-m', 'venv', '--without-pip', $environment) 'the virtual environment cannot be made'
$private = Join-Path $environment 'Scripts\python.exe'
$pip = (Get-ChildItem -Path (Join-Path $here 'wheels') -Filter 'pip-*.whl').FullName + '\pip'
$install = @(
    '-I', $pip, 'install', '--isolated', '--quiet', '--no-index', '--find-links', (Join-Path $here 'wheels'),
    '--require-hashes', '--only-binary=:all:', '--no-cache-dir', '--disable-pip-version-check',
    '-r', (Join-Path $here 'requirements.lock')
)
Invoke-Program $private $install 'the wheels cannot be installed'

# The Microsoft runtime of the bundle goes before an older one of Windows: without it ONNX Runtime does not load.
$hook = 'import os, sys; os.add_dll_directory(os.path.join(sys.prefix, ''Scripts''))'
Set-Content -LiteralPath (Join-Path $environment 'Lib\site-packages\mediseg_runtime.pth') -Value $hook -Encoding ASCII

foreach ($part in 'models', 'pipelines', 'licences') {
    Copy-Item -LiteralPath (Join-Path $here $part) -Destination $Prefix -Recurse -Force
}
foreach ($name in 'sbom.cdx.json', 'bundle.json', 'uninstall.ps1') {
    Copy-Item -LiteralPath (Join-Path $here $name) -Destination $Prefix -Force
}
$bin = Join-Path $Prefix 'bin'
New-Item -ItemType Directory -Force -Path $bin | Out-Null
$command = Join-Path $bin 'mediseg.cmd'
$lines = @('@echo off', 'setlocal', 'set "MEDISEG_HOME=%~dp0.."', '"%~dp0..\env\Scripts\python.exe" -I -m mediseg %*')
Set-Content -LiteralPath $command -Value $lines -Encoding ASCII
Write-Output "installed: $command"
if (-not $NoDoctor) {
    $page = Join-Path $Prefix 'doctor.html'
    Invoke-Program $command @('doctor', '--html', $page) "mediseg doctor is not content; see $page"
}
