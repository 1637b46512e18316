# What a live machine does all the while (_live.py says what that proves): first a look at what an earlier life wrote, then
# one record after the other; and a guest agent on the second serial port, where there is one, for what freezing takes.

agent() {
    stty -F /dev/ttyS1 raw -echo || return
    exec 3<>/dev/ttyS1
    state=thawed
    key='"id": '
    while read -r line <&3; do
        case "$line" in
        *guest-sync-delimited*)
            id="${line##*$key}"
            printf '\377{"return": %s}\n' "${id%%\}*}" >&3 ;;
        *guest-ping*) echo '{"return": {}}' >&3 ;;
        *guest-fsfreeze-status*) printf '{"return": "%s"}\n' "$state" >&3 ;;
        *guest-fsfreeze-freeze*)
            echo "rehost: agent: freezing"
            fsfreeze --freeze /data && fsfreeze --freeze / && state=frozen
            echo '{"return": 2}' >&3 ;;
        *guest-fsfreeze-thaw*)
            fsfreeze --unfreeze / 2>/dev/null
            fsfreeze --unfreeze /data 2>/dev/null
            state=thawed
            echo "rehost: agent: thawed"
            echo '{"return": 2}' >&3 ;;
        *) echo '{"error": {"class": "CommandNotFound", "desc": "this agent does not know that"}}' >&3 ;;
        esac
    done
}

# Numbers have no leading zeros: busybox's awk would take them for octal.
# Prints how many records a file has and the last checksum, or nothing where one is not what it should be.
look() {
    awk '{ chain = (chain * 69069 + NR) % 2147483648; if ($1 != NR || $2 != chain) { bad = 1; exit } }
        END { if (!bad) print NR, chain + 0 }' "$1"
}

append() {
    dd if=/run/record of="$1" oflag=append conv=notrunc,fsync status=none
}

tries=0
until device="$(findfs LABEL=records 2>/dev/null)" && mount -t ext4 "$device" /data; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || break
    usleep 100000 # its driver may find it later than the root disk's
done
mkdir -p /var
touch /var/records /data/records
root="$(look /var/records)"
data="$(look /data/records)"
if [ -z "$root" ] || [ -z "$data" ]; then
    echo "rehost: records: DAMAGED, '$root' on the root disk and '$data' on the data disk"
    exit 1
fi
count="${root% *}"
chain="${root#* }"
behind=$((count - ${data% *}))
if [ "$behind" -lt 0 ] || [ "$behind" -gt 1 ]; then
    echo "rehost: records: NOT OF ONE MOMENT, $count on the root disk and ${data% *} on the data disk"
    exit 1
fi
echo "rehost: records: $count on the root disk, ${data% *} on the data disk, without a gap"
if [ "$behind" -eq 1 ]; then
    tail -n 1 /var/records >/run/record
    append /data/records
fi
agent &
while true; do
    count=$((count + 1))
    chain=$(((chain * 69069 + count) % 2147483648))
    printf '%10d %10d .........\n' "$count" "$chain" >/run/record
    append /var/records && append /data/records && echo "rehost: record $count"
    usleep 20000
done
