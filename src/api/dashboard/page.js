"use strict";
// Lists the sessions every two seconds. Everything from the API is set as text, never as markup.
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

function cell(row, text, small, kind) {
  const td = document.createElement("td");
  if (kind) td.className = kind;
  td.append(text);
  if (small) {
    const more = document.createElement("small");
    more.textContent = small;
    td.append(more);
  }
  row.append(td);
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

// Instants inside sentences, in the reader's own time.
function told(text) {
  return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (instant) => new Date(instant).toLocaleTimeString());
}

function show(session) {
  const row = document.createElement("tr");
  cell(row, session.id, session.owner);
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
  else if (next) cell(row, `${next.kind.replaceAll("_", " ")} ${away(next.at)}`, told(`${next.why}; moved by ${next.moved_by}`));
  else if (session.ending) cell(row, "ending", why);
  else cell(row, "–");
  return row;
}

async function look() {
  const token = sessionStorage.getItem(kept);
  at("ask").hidden = Boolean(token);
  if (!token) return note("waiting for the token");
  try {
    const answer = await fetch("/v1/sessions", { headers: { Authorization: `Bearer ${token}` }, cache: "no-store" });
    if (answer.status === 401) {
      sessionStorage.removeItem(kept);
      at("ask").hidden = false;
      return note("that token was refused", true);
    }
    if (!answer.ok) throw new Error(`the daemon answered ${answer.status}`);
    const sessions = await answer.json();
    at("rows").replaceChildren(...sessions.reverse().map(show));
    document.querySelector("table").hidden = sessions.length === 0;
    at("none").hidden = sessions.length !== 0;
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
