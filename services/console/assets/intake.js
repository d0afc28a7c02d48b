// Intake: what the rules found, how lines match, how far uploads are, and a decision that is signed. Text comes in as
// text, never as HTML.
"use strict";

const SEVERITIES = ["fatal", "warning", "information"];
const KINDS = {
  ...{ fatal: "bad", refused: "bad", unmatched: "bad" },
  ...{ warning: "due", duplicate: "due", referred: "due", working: "due", partial: "due" },
};
const GOOD = ["accepted", "done", "matched"];
const AGAIN_MS = 1500;

function made(tag, className, ...inside) {
  const element = document.createElement(tag);
  if (className) {
    element.className = className;
  }
  element.append(...inside);
  return element;
}

function pill(code, text) {
  return made("span", `state ${GOOD.includes(code) ? "good" : (KINDS[code] ?? "")}`, text);
}

function link(address, text) {
  const anchor = made("a", "", text);
  anchor.href = address;
  return anchor;
}

function wordsOf(section) {
  const known = JSON.parse(section.dataset.words);
  return (code) => known[code] ?? code.replaceAll("_", " ");
}

async function ask(address) {
  const answer = await fetch(address, { headers: { accept: "application/json" } });
  if (answer.status === 401) {
    sessionEnded();
  }
  if (!answer.ok) {
    throw new Error(String(answer.status));
  }
  return answer.json();
}

function fail(section) {
  const refusal = section.querySelector("[data-failed]");
  refusal.textContent = refusal.dataset.failed;
  refusal.hidden = false;
}

// A rule that is broken in many places is told once, with all of them.
function byRule(findings) {
  const rules = new Map();
  findings.forEach((each) => {
    const key = `${each.severity} ${each.pack} ${each.rule}`;
    rules.set(key, [...(rules.get(key) ?? []), each]);
  });
  const rank = ([first]) => SEVERITIES.indexOf(first.severity);
  return [...rules.values()].sort((one, other) => rank(one) - rank(other));
}

function finding(same, { language, where, word }) {
  const [first] = same;
  const rule = made("code", "rule", first.rule);
  const times = same.length > 1 ? [made("span", "count", `× ${same.length}`)] : [];
  const told = made("p", "", pill(first.severity, word(first.severity)), " ", rule, " ", first.plain[language], " ", ...times);
  const places = same.map((each) => {
    const message = made("span", "", each.message);
    message.lang = "en";
    return made("li", "", made("code", "where", each.location || "–"), made("br"), message);
  });
  const details = made("details", "", made("summary", "", where), made("ul", "", ...places), made("p", "of", first.pack));
  return made("li", `finding ${first.severity}`, told, details);
}

function list(findings, words) {
  return byRule(findings).map((same) => finding(same, words));
}

async function showFindings(section) {
  const words = { language: section.dataset.language, where: section.querySelector(".findings").dataset.where, word: wordsOf(section) };
  try {
    const found = await ask(section.dataset.findings);
    const judged = section.querySelector("[data-judged]");
    judged.textContent = judged.dataset.by.replace("{rules}", found.rules.join(", "));
    judged.hidden = !found.rules.length;
    section.querySelector("[data-nothing]").hidden = found.findings.length > 0;
    section.querySelector("[data-original]").hidden = !found.original_sha256;
    section.querySelector(".findings").replaceChildren(...list(found.findings, words));
  } catch {
    fail(section);
  }
}

// Which standing claim it may be in another guise, where intake saw one; only the bank is told.
async function showNear(section) {
  try {
    const near = (await ask(section.dataset.near)).near_duplicates ?? [];
    const claims = near.flatMap((each) => [" ", link(`/console/documents/${each.receivable_id}`, each.number)]);
    section.append(...claims);
    section.hidden = !near.length;
  } catch {
    // The reason stands on the page already.
  }
}

async function showMatch(section) {
  const word = wordsOf(section);
  try {
    const found = await ask(section.dataset.match);
    const lines = section.querySelector("[data-lines]");
    const rows = found.lines.map((line) => {
      const head = made("th", "", line.line_id);
      head.scope = "row";
      const why = line.reasons.map(word).join(", ") || "–";
      return made("tr", "", head, made("td", "", line.order_line || "–"), made("td", "", pill(line.status, word(line.status))), made("td", "", why));
    });
    lines.querySelector("tbody").replaceChildren(...rows);
    lines.hidden = !rows.length;
  } catch {
    // What the events said of it stands on the page already.
  }
}

function bar(each, label) {
  const element = document.createElement("progress");
  element.setAttribute("aria-label", label);
  if (each.total !== null) {
    element.max = Math.max(1, each.total);
    element.value = each.total ? each.done : 1;
  }
  return element;
}

const isOpen = (upload) => ["receiving", "waiting", "working"].includes(upload.state);
const OUTCOMES = ["accepted", "referred", "duplicate", "refused"];
const answered = (upload) => `${upload.done} / ${upload.total ?? "…"}`;

function uploads(section) {
  const word = wordsOf(section);
  const more = section.querySelector("[data-more]");
  const body = section.querySelector("tbody");
  const rows = new Map();
  let older = null;

  function put(each, newest) {
    const head = made("th", "", link(`/console/uploads/${each.upload_id}`, each.file || each.upload_id.slice(-8)));
    head.scope = "row";
    const told = made("td", "", each.message ?? "–");
    told.lang = each.message ? "en" : "";
    const cells = [
      head,
      made("td", "when", `${each.received_at.slice(0, 10)} ${each.received_at.slice(11, 19)}`),
      made("td", "", pill(each.state, word(each.state))),
      made("td", "use", bar(each, answered(each))),
      made("td", "number", answered(each)),
      ...OUTCOMES.map((outcome) => made("td", "number", String(each[outcome]))),
      told,
    ];
    const row = made("tr", "", ...cells);
    if (rows.has(each.upload_id)) {
      rows.get(each.upload_id).replaceWith(row);
    } else if (newest) {
      body.insertBefore(row, newest);
    } else {
      body.append(row);
    }
    rows.set(each.upload_id, row);
  }

  async function read(cursor) {
    try {
      const newest = cursor ? null : body.firstElementChild;
      const found = await ask(`${section.dataset.uploads}${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
      found.items.forEach((each) => put(each, newest));
      if (cursor || !newest) {
        older = found.next;
      }
      more.hidden = !older;
      section.querySelector("[data-nothing]").hidden = rows.size > 0;
      section.querySelector("[data-shown]").hidden = !rows.size;
      if (!cursor && found.items.some(isOpen)) {
        setTimeout(() => read(null), AGAIN_MS);
      }
    } catch {
      fail(section);
    }
  }

  more.addEventListener("click", () => read(older));
  read(null);
}

function upload(section) {
  const word = wordsOf(section);
  const words = { language: section.dataset.language, where: section.dataset.where, word };
  const more = section.querySelector("[data-more]");
  const body = section.querySelector("tbody");
  const shown = new Set();
  let at = null; // the cursor of the page that was read last; it may have grown since
  let following = null;

  function told(item) {
    const said = item.message ?? "–";
    const cell = made("td", "what", item.outcome === "referred" ? said.split(", ").map(word).join(", ") : said);
    if (item.findings.length) {
      const summary = made("summary", "", section.dataset.found.replace("{n}", item.findings.length));
      cell.append(made("details", "", summary, made("ol", "findings", ...list(item.findings, words))));
    }
    return cell;
  }

  function put(item) {
    const head = made("th", "", item.file || "–");
    head.scope = "row";
    const id = item.receivable_id;
    const opened = id ? link(`/console/documents/${id}`, id.slice(-8)) : "–";
    const outcome = made("td", "", pill(item.outcome, word(item.outcome)));
    body.append(made("tr", "", made("td", "number", String(item.nth)), head, outcome, told(item), made("td", "", opened)));
    shown.add(item.nth);
  }

  async function readItems(cursor) {
    const found = await ask(`${section.dataset.upload}/items${cursor ? `?cursor=${encodeURIComponent(cursor)}` : ""}`);
    found.items.filter((item) => !shown.has(item.nth)).forEach(put);
    at = cursor;
    following = found.next;
    more.hidden = !following;
  }

  function showProgress(found) {
    const state = section.querySelector("[data-state]");
    state.className = pill(found.state, "").className;
    state.textContent = word(found.state);
    document.querySelector("[data-file]").textContent = found.file;
    const count = section.dataset.progress.replace("{done}", found.done).replace("{total}", found.total ?? "…");
    section.querySelector("[data-count]").textContent = count;
    const drawn = section.querySelector("progress");
    drawn.max = Math.max(1, found.total ?? 1);
    drawn.value = found.total === 0 ? 1 : found.done;
    section.querySelectorAll("[data-outcome]").forEach((each) => {
      each.textContent = String(found[each.dataset.outcome]);
    });
    const message = section.querySelector("[data-message]");
    message.textContent = found.message ?? "";
    message.hidden = !found.message;
    section.querySelector("[data-shown]").hidden = false;
  }

  async function follow() {
    try {
      const found = await ask(section.dataset.upload);
      showProgress(found);
      if (!following) {
        await readItems(at);
      }
      if (isOpen(found)) {
        setTimeout(follow, AGAIN_MS);
      }
    } catch {
      fail(section);
    }
  }

  more.addEventListener("click", () => readItems(following).catch(() => fail(section)));
  follow();
}

// What a credit note may mean: a row each, with what it falls by. One that something is in the way of takes none.
async function candidates(form) {
  const word = wordsOf(form);
  try {
    const found = await ask(form.dataset.parts);
    const rows = (found.candidates ?? []).map((each) => {
      const head = made("th", "", link(`/console/documents/${each.receivable_id}`, each.number));
      head.scope = "row";
      const by = made("input", "by");
      by.dataset.receivable = each.receivable_id;
      by.inputMode = "decimal";
      by.pattern = "[0-9]+([.][0-9]+)?";
      by.maxLength = 24;
      by.disabled = each.in_the_way.length > 0;
      by.setAttribute("aria-label", form.dataset.lowered.replace("{number}", each.number));
      const shown = `${each.financeable.amount} ${each.financeable.currency}`;
      const why = each.in_the_way.map(word).join(", ") || "–";
      return made("tr", "", head, made("td", "when", each.issue_date), made("td", "", pill(each.state, word(each.state))),
        made("td", "number", shown), made("td", "", why), made("td", "number", by));
    });
    form.querySelector("[data-candidates]").replaceChildren(...rows);
  } catch {
    // The other document's id can be given all the same.
  }
}

function partsOf(form) {
  const other = { dataset: { receivable: form.elements.namedItem("other_id").value }, value: form.elements.namedItem("other_by").value };
  return [...form.querySelectorAll("input.by"), other]
    .filter((each) => each.value && each.dataset.receivable)
    .map((each) => ({ receivable_id: each.dataset.receivable, by: { amount: each.value, currency: form.dataset.currency } }));
}

// What becomes of money that waits: only what its way asks for is said.
function cleared(form, field) {
  const target = { loan: "loan_id", owner: "receivable_id", debit: "against" }[field("way")];
  return {
    way: field("way"),
    reason: field("reason"),
    ...(target ? { [target]: field("target") } : field("account") && { account: field("account") }),
    ...(field("amount") && { amount: { amount: field("amount"), currency: form.dataset.clearing } }),
  };
}

// A decision on a credit note says what falls by how much; one on a document, whether it is accepted.
function said(form, field) {
  if (form.dataset.proposals) {
    return field("decision") === "decline" ? { reason: field("reason") } : {};
  }
  if (form.dataset.clearing !== undefined) {
    return cleared(form, field);
  }
  if (!form.dataset.parts) {
    return { decision: field("decision"), reason: field("reason") };
  }
  return { parts: field("decision") === "accept" ? partsOf(form) : [], reason: field("reason") };
}

async function refusedBecause(form, answer) {
  const refusals = { 403: form.dataset.forbidden, 404: form.dataset.taken, 409: form.dataset.taken, 422: form.dataset.taken };
  const refusal = refusals[answer.status] ?? form.dataset.failed;
  const { reasons } = answer.status === 409 ? await answer.json() : {};
  return reasons ? `${refusal} ${reasons.map(wordsOf(form)).join(", ")}` : refusal;
}

// A page's cookie only reads. So a decision is signed: whoever decides says who they are, and nothing of it is kept.
async function decide(form) {
  const field = (name) => form.elements.namedItem(name).value;
  const body = said(form, field);
  if (form.dataset.parts && field("decision") === "accept" && !body.parts.length) {
    return form.dataset.none;
  }
  const credentials = { grant_type: "client_credentials", client_id: field("client_id"), client_secret: field("client_secret") };
  const known = await fetch(form.dataset.token, { method: "POST", body: new URLSearchParams(credentials) });
  if (!known.ok) {
    return known.status === 401 ? form.dataset.unknown : form.dataset.failed;
  }
  const token = (await known.json()).access_token;
  const answer = await fetch(form.dataset.decide, {
    method: "POST",
    headers: {
      ...{ authorization: `Bearer ${token}`, "content-type": "application/json", accept: "application/json" },
      "idempotency-key": [...crypto.getRandomValues(new Uint8Array(16))].join("-"),
    },
    body: JSON.stringify(body),
  });
  return answer.ok ? null : refusedBecause(form, answer);
}

function decision(form) {
  const refusal = form.querySelector(".refusal:not([data-failed])");
  const done = form.querySelector(".done");
  const button = form.querySelector("button");
  form.hidden = false;
  if (form.dataset.parts) {
    candidates(form);
  }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    refusal.hidden = true;
    button.disabled = true;
    const message = await decide(form).catch(() => form.dataset.failed);
    form.elements.namedItem("client_secret").value = "";
    if (message === null) {
      done.textContent = form.dataset.done;
      done.hidden = false;
      setTimeout(() => window.location.reload(), AGAIN_MS);
      return;
    }
    button.disabled = false;
    refusal.textContent = message;
    refusal.hidden = false;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-findings]").forEach(showFindings);
  document.querySelectorAll("[data-near]").forEach(showNear);
  document.querySelectorAll("[data-match]").forEach(showMatch);
  document.querySelectorAll("[data-uploads]").forEach(uploads);
  document.querySelectorAll("[data-upload]").forEach(upload);
  document.querySelectorAll("form[data-decide]").forEach(decision);
});
