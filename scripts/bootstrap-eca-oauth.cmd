@echo off
rem Enables OAuth on the External Client Apps of a scratch org that sfp has just
rem prepared for a pool on Windows, or of a package. It is what
rem bootstrap-eca-oauth.sh is elsewhere.
rem
rem Name this file as "postDeploymentScriptPath" of a pool, with backslashes, as
rem sfp runs it by cmd.exe as one of
rem
rem     cmd.exe /c SCRIPT SCRATCH_ORG_USERNAME HUB_USERNAME STATUS
rem     cmd.exe /c SCRIPT PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY
rem
rem from the directory in which it was started itself. The second form is for calls
rem of your own: into an artifact sfp copies the script without its extension, and
rem cmd.exe runs no such file. Run sfp install in WSL or a container instead.
rem
rem All the work is done by the eca command, which must be on the machine: on the
rem PATH, in bin or node_modules of the project, or where ECA_BIN says.

setlocal EnableExtensions DisableDelayedExpansion

if not defined ECA_BIN goto search
set "eca=%ECA_BIN:"=%"
if not defined eca goto search
if exist "%eca%" goto run
>&2 echo error: ECA_BIN is "%eca%", which is not a program
>&2 echo hint: set ECA_BIN to the path of eca.exe, or unset it
exit /b 1

:search
set "eca="
for %%e in (eca.exe eca.cmd) do if not defined eca set "eca=%%~$PATH:e"
if defined eca goto run
for %%e in (bin\eca.exe node_modules\.bin\eca.cmd) do if not defined eca if exist "%%e" set "eca=%%e"
if defined eca goto run
>&2 echo error: the eca command is not on this machine, so OAuth was not enabled on the apps of "%~1"
>&2 echo hint: put eca.exe on the PATH or into "%CD%\bin", or set ECA_BIN to where it is, and deploy again
exit /b 1

:run
"%eca%" hook %*
exit /b %ERRORLEVEL%
