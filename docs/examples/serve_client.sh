#!/bin/sh
# Submit a case to `mediseg serve`, wait, save its report. Needs curl.
#   sh serve_client.sh DIR RECIPE study.zip report.html [PORT]
# DIR is the service's --out folder, in which its token lies. Research use only; not a medical device.
set -eu
folder=$1 recipe=$2 study=$3 report=$4 url=http://127.0.0.1:${5:-8321}/v1/cases
case $study in *.nii.gz) suffix=.nii.gz ;; *) suffix=.${study##*.} ;; esac

ask() {  # the token goes to curl by its standard input: an argument would be seen by everybody on the machine
    printf 'header = "Authorization: Bearer %s"\n' "$(cat "$folder/token")" | curl -sS --fail-with-body --config - "$@"
}
field() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

id=$(ask --data-binary "@$study" -H "Content-Type: application/octet-stream" "$url?recipe=$recipe&suffix=$suffix" | field id)
state=waiting
while [ "$state" = waiting ] || [ "$state" = running ]; do
    sleep 1
    state=$(ask "$url/$id" | field state)
done
echo "$id $state"
ask -o "$report" "$url/$id/files/report.html"
[ "$state" = done ]
