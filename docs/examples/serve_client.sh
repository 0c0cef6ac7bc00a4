#!/bin/sh
# Submit a case to `mediseg serve`, wait, save its report. Needs curl 7.76 or newer.
#   sh serve_client.sh DIR RECIPE study.zip report.html [PORT]
# DIR is the service's --out folder, in which its token lies. Research use only; not a medical device.
set -eu
[ $# -ge 4 ] || { echo "usage: sh serve_client.sh DIR RECIPE study.zip report.html [PORT]" >&2; exit 2; }
folder=$1 recipe=$2 study=$3 report=$4 url=http://127.0.0.1:${5:-8321}/v1/cases
case $study in *.nii.gz) suffix=.nii.gz ;; *) suffix=.${study##*.} ;; esac
token=$(cat "$folder/token")

ask() {  # the token goes to curl by its standard input: an argument would be seen by everybody on the machine
    printf 'header = "Authorization: Bearer %s"\n' "$token" | curl -sS --fail-with-body --config - "$@"
}
field() { printf '%s\n' "$2" | sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

answer=$(ask --data-binary "@$study" -H "Content-Type: application/octet-stream" "$url?recipe=$recipe&suffix=$suffix") ||
    { field error "$answer" >&2; exit 1; }
id=$(field id "$answer") state=waiting
while [ "$state" = waiting ] || [ "$state" = running ]; do
    sleep 1
    answer=$(ask "$url/$id")
    state=$(field state "$answer")
done
echo "$id $state $(field reason "$answer")"
case $answer in *'"report.html"'*) ask -o "$report" "$url/$id/files/report.html" ;; esac  # a refused case has one, too
[ "$state" = done ]
