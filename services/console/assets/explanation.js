// Why a line can draw what it can: asks credit over the same origin and shows the derivation, now or of then.
"use strict";

function explain(form) {
  const shown = document.querySelector(".explained");
  const refusal = form.querySelector(".refusal");
  const words = JSON.parse(form.dataset.words);

  function show(found) {
    shown.querySelector("[data-as-of]").textContent = `${found.business_date} · ${found.as_of.slice(0, 19)}Z`;
    shown.querySelector("[data-text]").replaceChildren(
      ...found.text.split("\n").map((sentence) => {
        const paragraph = document.createElement("p");
        paragraph.textContent = sentence;
        return paragraph;
      }),
    );
    const amounts = ["sanctioned", "held", "utilised", "available", "shortfall"];
    shown.querySelector("[data-nodes]").replaceChildren(
      ...found.nodes.map((node) => {
        const made = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = words[node.level] ?? node.level;
        made.append(head);
        [...amounts.map((name) => (node[name] ? grouped(node[name]) : "–")), node.share].forEach((text) => {
          const cell = document.createElement("td");
          cell.className = "number";
          cell.textContent = text;
          made.append(cell);
        });
        return made;
      }),
    );
    shown.hidden = false;
  }

  async function ask() {
    refusal.hidden = true;
    let message = form.dataset.failed;
    const asked = new URLSearchParams({ language: form.dataset.language });
    const field = (name) => form.elements.namedItem(name).value;
    if (field("on")) {
      asked.set("on", field("on"));
    } else if (field("as_of")) {
      asked.set("as_of", `${field("as_of")}Z`);
    }
    try {
      const answer = await fetch(`${form.dataset.explanation}?${asked}`, { headers: { accept: "application/json" } });
      const said = await answer.json();
      if (answer.ok) {
        show(said);
        return;
      }
      if (answer.status === 401) {
        sessionEnded();
      }
      message = said.detail ?? message;
    } catch {
      // The platform is not there: the message says so already.
    }
    shown.hidden = true;
    refusal.textContent = message;
    refusal.hidden = false;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  ask();
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("form[data-explanation]").forEach(explain);
});
