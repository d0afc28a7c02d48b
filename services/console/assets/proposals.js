// What one person proposed and another decides: asked of every service, told on one page, signed like any decision.
"use strict";

const kept = (service, each) => ({ ...each, service });

// A party's own proposals wait for that party: the bank does not decide them. What cannot be asked is told.
async function proposalsOf(services) {
  const asked = services.split(" ").map(async (service) => {
    const found = await ask(`/${service}/v1/approvals`);
    return found.items.filter((each) => !each.party).map((each) => kept(service, each));
  });
  const answers = await Promise.allSettled(asked);
  const items = answers.flatMap((each) => each.value ?? []);
  items.sort((one, other) => (one.approval_id < other.approval_id ? -1 : 1));
  return { items, lost: answers.find((each) => each.status === "rejected")?.reason };
}

// Ids tell when they were made.
function madeAt(id) {
  return new Date(parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toISOString().slice(0, 16).replace("T", " ");
}

function told(value, word) {
  if (value === null || value === "") {
    return "–";
  }
  if (Array.isArray(value)) {
    return value.map((each) => told(each, word)).join(", ") || "–";
  }
  if (typeof value === "object") {
    const isAmount = Object.keys(value).sort().join() === "amount,currency";
    return isAmount ? `${grouped(value)} ${value.currency}` : Object.entries(value).map(([name, each]) => `${word(name)}: ${told(each, word)}`).join("; ");
  }
  return typeof value === "boolean" ? word(value ? "yes" : "no") : word(String(value));
}

function story(id) {
  const anchor = link(`/console/feed?subject=${encodeURIComponent(id)}`, id.length === 36 ? id.slice(-8) : id);
  anchor.className = "id";
  anchor.title = id;
  return anchor;
}

function proposalRow(each, form) {
  const word = wordsOf(form);
  const what = JSON.parse(form.dataset.kinds)[each.kind] ?? each.kind;
  const choose = made("input", "");
  Object.assign(choose, { type: "radio", name: "proposal", required: true, value: `/${each.service}/v1/approvals/${each.approval_id}` });
  choose.setAttribute("aria-label", form.dataset.choose.replace("{what}", `${what} ${each.subject.slice(-8)}`));
  const head = made("th", "", what);
  head.scope = "row";
  const content = made("td", "what", told(each.content, word));
  const by = made("span", "id", each.proposer.slice(-8));
  by.title = each.proposer;
  return made("tr", "", made("td", "", choose), head, made("td", "", word(each.service)), made("td", "", story(each.subject)), content,
    made("td", "when", madeAt(each.approval_id)), made("td", "", by));
}

async function proposals(form) {
  const { items, lost } = await proposalsOf(form.dataset.proposals);
  form.querySelector("tbody").replaceChildren(...items.map((each) => proposalRow(each, form)));
  document.querySelector("[data-nothing]").hidden = items.length > 0 || lost !== undefined;
  form.hidden = !items.length && !lost;
  form.querySelector(".decision").hidden = !items.length;
  if (lost) {
    fail(form);
  }
  form.addEventListener("change", () => {
    const field = (name) => form.elements.namedItem(name);
    const declining = field("decision").value === "decline";
    form.dataset.decide = `${field("proposal").value}/${field("decision").value}`;
    field("reason").required = declining;
    field("reason").closest("label").hidden = !declining;
  });
}

async function countProposals(row) {
  const { items } = await proposalsOf(row.dataset.proposalsCount);
  row.hidden = !items.length;
  row.querySelector("[data-count]").textContent = String(items.length);
  row.querySelector("[data-since]").textContent = items.length ? madeAt(items[0].approval_id) : "";
}

function showCounts() {
  document.querySelectorAll("[data-proposals-count]").forEach(countProposals);
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("form[data-proposals]").forEach(proposals);
  document.body.addEventListener("htmx:afterSettle", showCounts);
  showCounts();
});
