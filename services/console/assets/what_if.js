// What if: asks credit over the same origin, and shows every line before and after. Text comes in as text, never as HTML.
"use strict";

function row(cells) {
  const made = document.createElement("tr");
  cells.forEach(({ text, number, head, link }) => {
    const cell = document.createElement(head ? "th" : "td");
    if (head) {
      cell.scope = "row";
    }
    if (number) {
      cell.className = "number";
    }
    if (link) {
      const anchor = document.createElement("a");
      anchor.href = `/console/feed?subject=${encodeURIComponent(link)}`;
      anchor.className = "id";
      anchor.textContent = text;
      cell.append(anchor);
    } else {
      cell.textContent = text;
    }
    made.append(cell);
  });
  return made;
}

function changeOf(fields, { programme, currency }) {
  const field = (name) => fields.querySelector(`[name=${name}]`);
  const value = (name) => field(name).value;
  const share = () => (Number(value("by")) / 100).toFixed(6);
  const firm = () => ({ enterprise_id: value("enterprise_id"), whole_group: field("whole_group").checked });
  const said = {
    rating: () => ({ ...firm(), notches: Number(value("notches")) }),
    failure: firm,
    limit: () => ({ by: share(), programme_id: programme }),
    trade: () => ({ supplier_id: value("supplier_id"), buyer_id: value("buyer_id"), by: share() }),
    pair_limit: () => ({
      seller_id: value("supplier_id"),
      obligor_id: value("buyer_id"),
      limit: { amount: value("pair_limit"), currency },
    }),
    cover: () => ({ cover_id: value("cover_id"), ...(field("gone").checked ? { gone: true } : { by: share() }) }),
    max_tier: () => ({ max_tier: Number(value("max_tier")), programme_id: programme }),
  };
  return { change: value("change"), ...said[value("change")]() };
}

function show(result, found, words, names) {
  // A node that is short is named by its level: short (line).
  const word = (code) => {
    const [said, node] = code.split(":");
    const text = words[said] ?? said.replaceAll("_", " ");
    return node ? `${text} (${words[node.split("/")[0]] ?? node.split("/")[0]})` : text;
  };
  const name = (id) => names[id] ?? id.slice(-8);
  const programmes = Object.fromEntries(found.programmes.map((each) => [each.programme_id, each.programme_name]));
  const tell = (total) => (typeof total === "object" ? grouped(total) : String(total));
  const both = (total) => ("before" in total ? `${tell(total.before)} → ${tell(total.after)}` : tell(total));
  // One currency needs no name; of several each is named.
  const named = (each, text) => (found.totals.length > 1 ? `${each.currency} ${text}` : text);
  result.querySelectorAll("[data-total]").forEach((cell) => {
    cell.textContent = found.totals.map((each) => named(each, both(each[cell.dataset.total]))).join("; ");
  });
  result.querySelector("[data-programmes]").replaceChildren(
    ...found.programmes.map((each) =>
      row([
        { text: each.programme_name || each.programme_id.slice(-8), head: true },
        { text: `${each.changed_lines} / ${each.lines}`, number: true },
        ...["drawable_lines", "cap", "expected_loss", "frozen", "trapped"].map((total) => ({
          text: named(each, both(each.totals[total])),
          number: true,
        })),
      ]),
    ),
  );
  const lines = result.querySelector("[data-lines]");
  lines.replaceChildren(
    ...found.lines.map((line) =>
      row([
        { text: line.enterprise_name || name(line.enterprise_id), head: true },
        { text: programmes[line.programme_id] ?? "" },
        { text: word(line.direction) },
        { text: String(line.after.tier || "–"), number: true },
        { text: line.before ? grouped(line.before.cap) : lines.dataset.new, number: true },
        { text: grouped(line.after.cap), number: true },
        { text: line.before ? grouped(line.before.available) : "–", number: true },
        { text: grouped(line.after.available), number: true },
        { text: grouped(line.loses), number: true },
        { text: line.after.drawable ? lines.dataset.open : line.after.reasons.map(word).join(", ") },
      ]),
    ),
  );
  const leftOff = result.querySelector("[data-left-off]");
  leftOff.textContent = leftOff.dataset.leftOff.replace("{n}", found.left_off.lines);
  leftOff.hidden = !found.left_off.lines;
  const stuck = result.querySelector("[data-stuck]");
  stuck.replaceChildren(
    ...["frozen", "trapped"].flatMap((kind) =>
      found[kind].map((each) =>
        row([
          { text: each.drawdown_id.slice(-8), link: each.drawdown_id },
          { text: name(each.enterprise_id), head: true },
          { text: stuck.dataset[kind] },
          { text: grouped(each.amount), number: true },
          { text: each.reasons.map(word).join(", ") },
        ]),
      ),
    ),
  );
  result.querySelector("[data-gaps]").replaceChildren(
    ...found.liquidity.map((gap) =>
      row([
        { text: gap.enterprise_name || name(gap.enterprise_id), head: true },
        ...["drawn", "gap", "frozen", "cannot_roll_in_30_days", "cannot_roll_in_90_days"].map((each) => ({
          text: grouped(gap[each]),
          number: true,
        })),
      ]),
    ),
  );
  result.querySelector("[data-policy]").textContent = found.risk_policy;
  result.hidden = false;
}

function refused(form, said) {
  const refusals = JSON.parse(form.dataset.refusals);
  if (said.code === "change_not_supposable") {
    return `${form.dataset.nth.replace("{n}", said.nth)}: ${refusals[said.reason] ?? said.reason}`;
  }
  return said.code === "what_if_too_large" ? form.dataset.tooLarge : (said.detail ?? form.dataset.failed);
}

// The registered covers of the programme's firms, by whose they are and what they are.
async function offerCovers(form, names, words) {
  const select = form.querySelector("[name=cover_id]");
  const offer = (text, id) => select.add(new Option(text, id));
  try {
    const answer = await fetch(`${form.dataset.covers}?limit=500`, { headers: { accept: "application/json" } });
    const found = answer.ok ? (await answer.json()).items : [];
    found
      .filter((cover) => cover.state === "registered" && cover.enterprise_id in names)
      .forEach((cover) => offer(`${names[cover.enterprise_id]} · ${words[cover.kind] ?? cover.kind} ${cover.asset}`, cover.cover_id));
  } catch {
    // Without credit nothing can be supposed anyway.
  }
  if (!select.options.length) {
    offer(select.dataset.none, "");
  }
}

function whatIf(form) {
  const result = document.querySelector(".supposed");
  const refusal = form.querySelector(".refusal");
  const changes = form.querySelector("[data-changes]");
  const words = JSON.parse(form.dataset.words);
  const names = JSON.parse(form.dataset.names);
  const rows = () => [...changes.querySelectorAll("[data-change]")];

  function fit(fields) {
    const kind = fields.querySelector("[name=change]").value;
    fields.querySelectorAll("[data-for]").forEach((label) => {
      label.hidden = !label.dataset.for.split(" ").includes(kind);
    });
  }

  function number() {
    rows().forEach((fields, nth, all) => {
      const remove = fields.querySelector("[data-remove-change]");
      fields.querySelector("legend").textContent = form.dataset.nth.replace("{n}", nth + 1);
      remove.textContent = form.dataset.remove.replace("{n}", nth + 1);
      remove.hidden = all.length === 1;
      fit(fields);
    });
  }

  offerCovers(form, names, words);
  changes.addEventListener("change", number);
  changes.addEventListener("click", (event) => {
    const fields = event.target.closest("[data-remove-change]") && event.target.closest("[data-change]");
    if (fields) {
      const nth = rows().indexOf(fields);
      fields.remove();
      number();
      // The button that had the focus is gone.
      rows()[Math.max(0, nth - 1)].querySelector("[name=change]").focus();
    }
  });
  form.querySelector("[data-add-change]").addEventListener("click", () => {
    const all = rows();
    const added = all[all.length - 1].cloneNode(true);
    changes.append(added);
    number();
    added.querySelector("[name=change]").focus();
  });
  number();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    refusal.hidden = true;
    let message = form.dataset.failed;
    try {
      const scope = form.elements.namedItem("scope").value;
      const body = {
        changes: rows().map((fields) => changeOf(fields, form.dataset)),
        programme_ids: scope ? [scope] : null,
        limit: 500,
      };
      const asked = new URLSearchParams({ asked: JSON.stringify(body) });
      const answer = await fetch(`${form.dataset.whatIf}?${asked}`, { headers: { accept: "application/json" } });
      const said = await answer.json();
      if (answer.ok) {
        show(result, said, words, names);
        return;
      }
      if (answer.status === 401) {
        sessionEnded();
      }
      message = refused(form, said);
    } catch {
      // The platform is not there: the message says so already.
    }
    result.hidden = true;
    refusal.textContent = message;
    refusal.hidden = false;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("form[data-what-if]").forEach(whatIf);
});
