#!/bin/bash
# curl and a shell: enough to follow a topic, and to come back.
url=$1 last='' retry=2

while :; do
	kind=message data='' id=''
	while IFS= read -r line; do # what a cut left of a line is not one
		case $line in
		'data: '*) data+=${data:+$'\n'}${line#data: } ;;
		'event: '*) kind=${line#event: } ;;
		'id: '*) id=${line#id: } ;;
		'retry: '*) retry=$(printf '%04d' "${line#retry: }" | sed 's/...$/.&/') ;;
		'') # only whole events count, their ids too
			[ -z "$data" ] || printf '%s\t%s\n' "$kind" "$data"
			[ -z "$id" ] || last=$id
			kind=message data='' id='' ;;
		esac
	done < <(curl -sN ${last:+-H "Last-Event-ID: $last"} "$url")
	sleep "$retry"
done
