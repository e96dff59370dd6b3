"use strict";
// Lists sessions and shared budgets every two seconds. Everything from the API is set as text, never as markup.
const at = (id) => document.getElementById(id);
const kept = "labguard-token";
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given) {
  sessionStorage.setItem(kept, given);
  history.replaceState(null, "", location.pathname);
}

function note(text, bad) {
  at("note").textContent = text;
  at("note").className = bad ? "bad" : "";
}

function make(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function cell(row, text, small, kind, tag = "td") {
  const td = make(tag, undefined, kind);
  if (tag === "th") td.scope = "row";
  td.append(text);
  if (small) td.append(make("small", small));
  row.append(td);
}

function exact(instant) {
  const time = make("time", clock(instant));
  time.dateTime = instant;
  return time;
}

function sentence(...parts) {
  const span = make("span");
  span.append(...parts);
  return span;
}

function address(url) {
  if (!url || !/^https?:\/\//.test(url)) return "–";
  const link = document.createElement("a");
  link.href = url;
  link.rel = "noreferrer noopener";
  link.textContent = url;
  return link;
}

function away(until) {
  const seconds = Math.round((new Date(until) - Date.now()) / 1000);
  if (seconds <= 0) return "now";
  if (seconds < 90) return `in ${seconds} s`;
  if (seconds < 5400) return `in ${Math.round(seconds / 60)} min`;
  return `in ${(seconds / 3600).toFixed(1)} h`;
}

// "0.012345678 USD" as "0.0124 USD": rounded up, as everywhere people read it.
function money(text) {
  const [amount, currency] = text.split(" ");
  return `${(Math.ceil(Number(amount) * 10000) / 10000).toFixed(4)} ${currency}`;
}

// An instant in the reader's own time; the day only when it is another.
function clock(instant) {
  const at = new Date(instant);
  return at.toDateString() === new Date().toDateString() ? at.toLocaleTimeString() : at.toLocaleString();
}

// Instants inside sentences.
function told(text) {
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, clock);
}

// What each source of activity says, and since when.
function source(one) {
  const words = { active: "in use", quiet: "quiet", unknown: "not known" };
  const why = one.what || one.why;
  const item = make("li");
  const word = make("strong", words[one.sign] || one.sign, { active: "good", unknown: "bad" }[one.sign]);
  item.append(`${one.source.replaceAll("_", " ")}: `, word, " since ", exact(one.since), why ? `: ${told(why)}` : "");
  if (one.sign === "active") item.append(", last ", exact(one.last));
  return item;
}

// Whether a net holds, what it does or why not, and when.
function net(one) {
  const words = { off: "off", pending: "being made", holds: "holds", fails: "does not hold" };
  const item = make("li");
  const kind = { holds: "good", fails: "bad" }[one.state];
  item.append(`${one.net}: `, make("strong", words[one.state] || one.state, kind));
  if (one.acts_at && one.state !== "off") item.append(", from ", exact(one.acts_at));
  item.append(`${one.required ? ", required" : ""}: ${told(one.detail)}`);
  return item;
}

function limit(one) {
  const item = make("li");
  item.append(`${one.kind.replaceAll("_", " ")} `, exact(one.at), ` (${away(one.at)}): ${told(`${one.why}; moved by ${one.moved_by}`)}`);
  return item;
}

function list(heading, items, otherwise) {
  const section = make("section");
  section.append(make("h3", heading));
  if (items.length === 0) section.append(make("p", otherwise));
  else {
    const all = make("ul");
    all.append(...items);
    section.append(all);
  }
  return section;
}

// Which sessions are unfolded: kept, since every row is made anew with each look.
const unfolded = new Set();

function more(session) {
  const details = make("details");
  details.dataset.session = session.id;
  details.open = unfolded.has(session.id);
  details.addEventListener("toggle", () => {
    if (details.open) unfolded.add(session.id);
    else unfolded.delete(session.id);
  });
  const holding = session.nets.filter((one) => one.state === "holds").map((one) => one.net);
  const torn = session.nets.filter((one) => one.state === "fails").map((one) => one.net);
  const nets = [
    holding.length ? `${holding.join(" and ")} ${holding.length > 1 ? "hold" : "holds"}` : "no net holds",
    ...torn.map((name) => `${name} does not hold`),
  ].join(", ");
  const summary = make("summary", `nets: ${nets}; ${session.sources.length} sources of activity, ${session.limits.length} limits`);
  const leases = session.leases.map((one) => {
    const item = make("li");
    item.append(`lease of ${one.by} since `, exact(one.opened_at), ", lapses ", exact(one.expires_at), " unless it is renewed");
    return item;
  });
  const facts = make("div", undefined, "facts");
  facts.append(
    list("Activity", [...session.sources.map(source), ...leases], "Nothing says whether it is used."),
    list("Nets: what ends its spend without labguard", session.nets.map(net), "None."),
    list("Would end it", session.limits.map(limit), "No limit is set."),
  );
  details.append(summary, facts);
  const row = make("tr", undefined, "more");
  const td = make("td");
  td.colSpan = 7;
  td.append(details);
  row.append(td);
  return row;
}

function budget(one) {
  const row = make("tr");
  cell(row, one.name, `${one.period}${one.until ? "" : ", for life"}`, "", "th");
  cell(row, one.scope === "daemon" ? "the daemon" : `${one.scope} ${one.of}`);
  const reached = one.thresholds.some((step) => step.reached_at && step.measure !== "notify");
  cell(row, `${money(one.spent)} / ${money(one.limit)}`, `${one.percent} %`, reached ? "bad" : "");
  cell(row, money(one.rate));
  cell(row, String(one.sessions.length), one.sessions.join(", "));
  cell(row, one.next_at ? sentence(`${one.next} `, exact(one.next_at)) : one.next, one.next_at ? away(one.next_at) : "");
  return row;
}

function show(session) {
  const row = make("tr", undefined, session.closed_at ? "" : "has-more");
  cell(row, session.id, session.owner, "", "th");
  cell(row, session.phase, session.alarm || session.doing, session.phase === "Stuck" || session.alarm ? "bad" : "");
  cell(row, address(session.phase === "Running" ? session.url : null));
  const over = session.closed_at || session.phase === "TearingDown" || session.phase === "Stuck";
  const health = over ? null : session.health.healthy;
  cell(row, health === null ? "–" : health ? "healthy" : "unhealthy", over ? "" : session.health.detail,
    health === null ? "" : health ? "good" : "bad");
  cell(row, (!over && session.idle) || "–");
  cell(row, `${money(session.spend)} / ${money(session.budget)}`, `${money(session.rate)} an hour`);
  const next = session.limits[0];
  const why = session.ending ? told(`${session.ending[0].replaceAll("_", " ")}: ${session.ending[1]}`) : "";
  if (session.closed_at) cell(row, "ended", why);
  else if (next) cell(row, sentence(`${next.kind.replaceAll("_", " ")} ${away(next.at)}, `, exact(next.at)), told(`${next.why}; moved by ${next.moved_by}`));
  else if (session.ending) cell(row, "ending", why);
  else cell(row, "–");
  return session.closed_at ? [row] : [row, more(session)];
}

// Rows are made anew: who stood on one with the keyboard stands there again.
function fill(sessions, budgets) {
  const stood = document.activeElement?.closest?.("details")?.dataset.session;
  at("rows").replaceChildren(...sessions.reverse().flatMap(show));
  if (stood) document.querySelector(`details[data-session="${CSS.escape(stood)}"] > summary`)?.focus();
  at("sessions").hidden = sessions.length === 0;
  at("none").hidden = sessions.length !== 0;
  at("budget-rows").replaceChildren(...budgets.map(budget));
  at("budgets").hidden = budgets.length === 0;
}

async function ask(path, token) {
  const answer = await fetch(path, { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
  if (!answer.ok && answer.status !== 401) throw new Error(`the daemon answered ${answer.status}`);
  return answer;
}

async function look() {
  const token = sessionStorage.getItem(kept);
  at("ask").hidden = Boolean(token);
  if (!token) return note("waiting for the token");
  try {
    const [answer, shared] = await Promise.all([ask("/v1/sessions", token), ask("/v1/budgets", token)]);
    if (answer.status === 401 || shared.status === 401) {
      sessionStorage.removeItem(kept);
      at("ask").hidden = false;
      return note("that token was refused", true);
    }
    fill(await answer.json(), await shared.json());
    note(`as of ${new Date().toLocaleTimeString()}`);
  } catch (error) {
    note(`cannot reach the daemon: ${error.message}`, true);
  }
}

at("use").addEventListener("click", () => {
  sessionStorage.setItem(kept, at("token").value.trim());
  at("token").value = "";
  look();
});
look();
setInterval(look, 2000);
