/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * What t/explain.t puts behind a page of `npool-trace explain --html`: steps
 * through it in every way that a person can, and writes what was wrong, or
 * "good", where --dump-dom shows it.
 */
"use strict";
const wrong = [];
let claims = 0;

function same(what, seen, wanted) {
	claims++;
	if (seen !== wanted && wrong.length < 20)
		wrong.push(`${what}: ${seen}, wanted ${wanted}`);
}

/* All that the page knows, as text. */
function stateText() {
	return JSON.stringify([...state.chunks].map(([number, c]) => [number,
		[...c.tree], [...c.pages].map(([first, p]) => [first, p.n,
		p.name, p.size, p.slots && [...p.slots].sort()]).sort()]).sort()
		.concat(state.lists));
}

/* What the page shows now: the state, and the elements of the document. */
function shownText() {
	return stateText() + $("op").textContent + $("result").textContent +
		$("lists").textContent + $("chunks").innerHTML +
		$("text").textContent;
}

/* As replay prints the lists. */
function listsText() {
	return "l " + state.lists.map((list, i) => LISTS[i] + "[" +
		list.map((number) => {
			const c = state.chunks.get(number);

			return `${number}:${usage(c)}%:${freePages(c) *
				trace.page}`;
		}).join(" ") + "]").join(" ");
}

/* A leaf is free where no page is; every other node follows from these. */
function checkTree(c, node, depth) {
	const value = c.tree[node], order = trace.order;
	const first = (node << (order - depth)) - npages, n = 1 << order - depth;

	if (value === depth || (value > order && c.pages.has(first) &&
				c.pages.get(first).n === n)) {
		for (let i = first; i < first + n; i++)
			if (i !== first || value === depth)
				same("page " + i, c.pages.has(i), false);
		return;
	}
	same("node " + node, value, Math.min(c.tree[2 * node],
		c.tree[2 * node + 1]));
	if (depth < order) {
		checkTree(c, 2 * node, depth + 1);
		checkTree(c, 2 * node + 1, depth + 1);
	}
}

function checkStep(n) {
	const step = n ? trace.steps[n - 1] : null;

	same("now", now, n);
	same("count", $("count").textContent, `${n} of ${trace.steps.length}`);
	same("result", $("result").textContent, step ? step.r : "");
	same("marked", $("steps").querySelectorAll(".now").length, n ? 1 : 0);
	if (step && step.r.startsWith("l "))
		same("lists at " + n, listsText(), step.r);
	if (step)
		for (const d of step.d)
			if (state.chunks.has(d.chunk))
				checkTree(state.chunks.get(d.chunk), 1, 0);
}

function press(key) {
	document.dispatchEvent(new KeyboardEvent("keydown", { key,
		bubbles: true }));
}

function run() {
	const end = trace.steps.length, shown = [];

	press("Home");
	for (let n = 0; n <= end; n++) {
		checkStep(n);
		shown.push(shownText());
		$("next").click(); /* at the end it is disabled */
	}
	for (let n = end; n >= 0; n--) {
		same("back at " + n, shownText(), shown[n]);
		$("back").click();
	}
	for (let i = 0, n = 1; i < 50; i++, n = n * 7919 % (end + 1)) {
		go(n);
		same("jump to " + n, shownText(), shown[n]);
	}
	press("End");
	same("end", shownText(), shown[end]);
	press("ArrowLeft");
	same("left", now, Math.max(0, end - 1));
	press("ArrowRight");
	same("right", now, end);
	if (end) {
		$("steps").children[0].click();
		same("click", now, 1);
		$("slider").value = end;
		$("slider").oninput({ target: $("slider") });
		same("slider", now, end);
	}
}

window.onerror = (message) => wrong.push(message);
try {
	run();
} catch (e) {
	wrong.push(String(e));
}
document.body.innerHTML = "<pre>verdict: " + (wrong.length || !claims
	? escape(wrong.join("\n")) : `good, ${claims} claims`) + "</pre>";
