# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-bash.bash - arrays, subshells, a coprocess and long pipelines.
#
# Run by face-programs.t.
set -euo pipefail
lines=$INPUT/lines.txt

declare -A seen
declare -a order
while read -r number first second rest; do
	[[ -v seen[$first] ]] || order+=("$first")
	seen[$first]+="$number:$second:$rest "
done < <(head -n 3000 "$lines")
for word in "${order[@]}"; do
	printf '%s %s\n' "$word" "${#seen[$word]}"
done | sha256sum
echo "${#order[@]} ${#seen[@]}"

text=
for ((i = 0; i < 3000; i++)); do
	text+="${i}${text:0:20}"
done
echo "${#text} $(cksum <<< "${text//1/one}")"

tail -n +1000 "$lines" | cut -d' ' -f2,4 | tr a-z A-Z | grep -v '^Q' |
    sed -E 's/(.)(.)/\2\1/g' | awk '{ n[$1] += $2 } END { for (w in n)
    print w, n[w] }' | sort | uniq -c | tac | sed 's/^ *//' | sha256sum

coproc ADDER { while read -r a b; do echo $((a + b)); done; }
for i in {1..200}; do
	echo "$i $((i * i))" >&"${ADDER[1]}"
	read -r sum <&"${ADDER[0]}"
	total=$((${total:-0} + sum))
done
echo "$total"
diff <(sort <(head -n 2000 "$lines")) <(head -n 2000 "$lines" | sort -r |
    sort) && echo same
mapfile -t all < "$lines"
echo "${#all[@]} ${all[-1]}"
(unset all; (exit 7)) || echo "status $?"
