# The machine's agent on its second serial port: of the QEMU guest agent's protocol what running a script takes. The sandbox's
# Systems Manager speaks to it, as AWS does to the SSM agent.
stty -F /dev/ttyS1 raw -echo 2>/dev/null || exit 0
exec 3<>/dev/ttyS1
mkdir -p /run/agent
next=0
id_key='"id": '
pid_key='"pid": '
data_key='"input-data": "'
while read -r line <&3; do
    case "$line" in
    *guest-sync-delimited*)
        id="${line##*$id_key}"
        printf '\377{"return": %s}\n' "${id%%\}*}" >&3 ;;
    *guest-exec-status*)
        pid="${line##*$pid_key}"
        job="/run/agent/${pid%%\}*}"
        if [ -f "$job.code" ]; then
            printf '{"return": {"exited": true, "exitcode": %s, "out-data": "%s", "err-data": "%s"}}\n' "$(cat "$job.code")" \
                "$(head -c 24000 "$job.out" | base64 -w 0)" "$(head -c 8000 "$job.err" | base64 -w 0)" >&3
        else
            printf '{"return": {"exited": false}}\n' >&3
        fi ;;
    *guest-exec*)
        data="${line##*$data_key}"
        next=$((next + 1))
        job="/run/agent/$next"
        echo "${data%%\"*}" | base64 -d >"$job"
        setsid sh -c 'echo $$ >"$0.pid"; sh "$0" >"$0.out" 2>"$0.err"; echo $? >"$0.part"; mv "$0.part" "$0.code"' "$job" \
            </dev/null >/dev/null 2>&1 3>&- &
        printf '{"return": {"pid": %s}}\n' "$next" >&3 ;;
    *) echo '{"error": {"class": "CommandNotFound", "desc": "this agent does not know that"}}' >&3 ;;
    esac
done
