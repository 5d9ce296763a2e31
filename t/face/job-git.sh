# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the libnpool authors
#
# job-git.sh - a repository's life: commits, branches, merge, gc, fsck.
#
# Run by face-programs.t.  Names and dates are fixed, so every object's
# name is; sizes of packs are not printed, since threads share that work.
set -e
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org

stamp() {
	GIT_AUTHOR_DATE="$1 +0000"
	GIT_COMMITTER_DATE="$1 +0000"
	export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
}

git init -q -b main repo
cd repo
git config pack.threads 2
git config gc.autoDetach false
mkdir src
split -a 3 -l 1500 "$INPUT/lines.txt" src/part-
cp "$INPUT/table.c" .
n=0
for pattern in 'a*' 'b*' 'c*' ''; do
	n=$((n + 1))
	stamp "$((1700000000 + n))"
	for file in src/part-a$pattern; do
		[ ! -f "$file" ] || sed "s/7 /$n&/" "$file" > "$file.new"
		[ ! -f "$file.new" ] || mv "$file.new" "$file"
	done
	git add .
	git commit -q -m "change $n" --allow-empty
done
git checkout -q -b side HEAD~2
stamp 1700001000
git mv src/part-aaa renamed
git commit -q -m 'rename one'
git checkout -q main
stamp 1700002000
git merge -q -m 'merge side' side
git gc -q --prune=now
git fsck --full --strict --no-progress
git log --stat -M --format='%H %an %ad %s' --date=unix
git diff HEAD~3 | sha256sum
git cat-file --batch-all-objects --batch-check | sort | sha256sum
git clone -q . ../copy
git -C ../copy rev-parse HEAD
git -C ../copy status --porcelain
