/* SPDX-License-Identifier: MIT
 * Copyright (c) 2026 the libnpool authors
 *
 * Is the page of `npool-trace draw` legible in this window? One picture is
 * shown, it fits; its texts are large enough, lie within it, and apart; and they
 * contrast with the paper. Says so in the title's place, for draw.t.
 */
const bad = [];

function luminance(color) {
	const part = color.match(/[\d.]+/g).slice(0, 3).map(v => {
		v /= 255;
		return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
	});
	return .2126 * part[0] + .7152 * part[1] + .0722 * part[2];
}

function contrast(a, b) {
	const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
	return (x + .05) / (y + .05);
}

const shown = [...document.querySelectorAll('svg')]
	.filter(s => getComputedStyle(s).display !== 'none');
if (shown.length !== 1)
	bad.push(`${shown.length} pictures are shown`);
if (document.documentElement.scrollWidth > innerWidth)
	bad.push(`${document.documentElement.scrollWidth} px in ${innerWidth}`);

const svg = shown[0], frame = svg.getBoundingClientRect();
const paper = getComputedStyle(svg.querySelector('.paper')).fill;
const texts = [...svg.querySelectorAll('text')].map(t => ({
	name: t.textContent, box: t.getBoundingClientRect(),
	size: parseFloat(getComputedStyle(t).fontSize) *
		frame.width / svg.viewBox.baseVal.width,
	fill: getComputedStyle(t).fill,
}));
for (const t of texts) {
	if (t.size < 8.7)
		bad.push(`${t.name}: ${t.size} px high`);
	if (t.box.left < frame.left - 1 || t.box.right > frame.right + 1 ||
	    t.box.bottom > frame.bottom + 1)
		bad.push(`${t.name}: outside`);
	if (contrast(t.fill, paper) < 4.5)
		bad.push(`${t.name}: pale`);
	for (const o of texts)
		if (o !== t && o.box.left < t.box.right - 1 &&
		    t.box.left < o.box.right - 1 &&
		    o.box.top < t.box.bottom - 3 &&
		    t.box.top < o.box.bottom - 3)
			bad.push(`${t.name}: over ${o.name}`);
}
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
if (dark !== luminance(paper) < .5)
	bad.push(`the paper is ${paper}`);
const verdict = document.createElement('p');
verdict.textContent = `verdict: ${bad.length ? bad.join('; ') : 'good'}, ` +
	`${texts.length} texts, ${innerWidth} px, ` +
	`${dark ? 'dark' : 'light'}, ${svg.getAttribute('class')}`;
document.body.append(verdict);
