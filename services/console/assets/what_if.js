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

function changeOf(form) {
  const field = (name) => form.elements.namedItem(name).value;
  const kind = field("change");
  const share = () => (Number(field("by")) / 100).toFixed(6);
  const said = {
    rating: () => ({ enterprise_id: field("enterprise_id"), notches: Number(field("notches")) }),
    failure: () => ({ enterprise_id: field("enterprise_id") }),
    limit: () => ({ by: share() }),
    trade: () => ({ supplier_id: field("supplier_id"), buyer_id: field("buyer_id"), by: share() }),
    max_tier: () => ({ max_tier: Number(field("max_tier")) }),
  };
  return { change: kind, ...said[kind]() };
}

function show(result, found, words, names) {
  const word = (code) => words[code.split(":")[0]] ?? code.replaceAll("_", " ");
  const name = (id) => names[id] ?? id.slice(-8);
  const tell = (total) => (typeof total === "object" ? grouped(total) : String(total));
  result.querySelectorAll("[data-total]").forEach((cell) => {
    const total = found.totals[cell.dataset.total];
    cell.textContent = "before" in total ? `${tell(total.before)} → ${tell(total.after)}` : tell(total);
  });
  const lines = result.querySelector("[data-lines]");
  lines.replaceChildren(
    ...found.lines.map((line) =>
      row([
        { text: line.enterprise_name || name(line.enterprise_id), head: true },
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

function whatIf(form) {
  const result = document.querySelector(".supposed");
  const refusal = form.querySelector(".refusal");
  const words = JSON.parse(form.dataset.words);
  const names = JSON.parse(form.dataset.names);
  const kind = form.elements.namedItem("change");

  function fit() {
    form.querySelectorAll("[data-for]").forEach((label) => {
      label.hidden = !label.dataset.for.split(" ").includes(kind.value);
    });
  }

  kind.addEventListener("change", fit);
  fit();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    refusal.hidden = true;
    let message = form.dataset.failed;
    try {
      const asked = new URLSearchParams({ asked: JSON.stringify({ changes: [changeOf(form)], limit: 500 }) });
      const answer = await fetch(`${form.dataset.whatIf}?${asked}`, { headers: { accept: "application/json" } });
      const said = await answer.json();
      if (answer.ok) {
        show(result, said, words, names);
        return;
      }
      message = said.reason ?? said.detail ?? message;
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
