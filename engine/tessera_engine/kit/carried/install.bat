@echo off
rem Installs tessera-engine from this kit, without a network.
rem PYTHON names the Python to use, VENV_DIR the folder of the virtual environment.
setlocal
set "version="
if defined PYTHON goto install
rem The launcher of python.org knows each version; python itself is often not on the path.
for %%f in ("%~dp0wheels\windows-py3.*.txt") do for /f "tokens=2 delims=y" %%v in ("%%~nf") do (
    py -%%v -c "" >nul 2>nul && (set "PYTHON=py" & set "version=-%%v")
)
if not defined PYTHON set "PYTHON=python"
:install
rem -I: modules come from Python alone, not from files beside the script
"%PYTHON%" %version% -I "%~dp0install.py"
set "failed=%errorlevel%"
if not "%failed%"=="0" echo The installation failed. README.txt says what is needed.
pause
exit /b %failed%
