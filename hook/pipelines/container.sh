#!/bin/sh
# Runs eca in its container, on the project in the working directory, wherever there is docker or
# podman:
#
#     SF_ACCESS_TOKEN=… SF_ORG_INSTANCE_URL=… hook/pipelines/container.sh plan -o uat --exit-code
#
# ECA_IMAGE is the image, ECA_CONTAINERS the program that runs it. The session of the two
# variables goes in by name, so that no argument list shows it. The container cannot write to
# the project or to anything else.
set -eu
exec "${ECA_CONTAINERS:-docker}" run --rm --init --read-only --cap-drop all --security-opt no-new-privileges \
	--volume "$PWD:/project:ro" --env SF_ACCESS_TOKEN --env SF_ORG_INSTANCE_URL --env SF_ORG_API_VERSION \
	--user "$(id -u):$(id -g)" "${ECA_IMAGE:-eca}" "$@"
