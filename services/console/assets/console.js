// What the pages do beyond reading: the live feed's state and pause, a session that ended, a sign-in that says what was wrong.
"use strict";

// An amount as people read it, in thousands; the pages' other scripts use it too.
function grouped(amount) {
  const [whole, decimals] = amount.amount.split(".");
  const readable = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return decimals === undefined ? readable : `${readable}.${decimals}`;
}

// A session lasts an hour; whoever reads on is told so, once, wherever it shows, and comes back to this page.
function sessionEnded() {
  if (document.querySelector("[data-session-ended]")) {
    return;
  }
  const { ended, signIn: word } = document.body.dataset;
  const told = document.createElement("p");
  const anchor = document.createElement("a");
  told.className = "refusal";
  told.setAttribute("role", "alert");
  told.dataset.sessionEnded = "";
  anchor.href = `/console/?next=${encodeURIComponent(window.location.pathname + window.location.search)}`;
  anchor.textContent = word;
  told.append(`${ended} `, anchor);
  document.querySelector("main").prepend(told);
}

// The stream says only that it failed; an answer says why.
async function lookForSession() {
  const answer = await fetch("/console/v1/events?limit=1").catch(() => null);
  if (answer?.status === 401) {
    sessionEnded();
  }
}

function follow(events) {
  const state = document.querySelector(".live");
  const pause = document.querySelector(".pause");
  let paused = false;

  function show(word) {
    state.textContent = state.dataset[word];
    state.dataset.state = word;
    state.hidden = false;
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    if (paused) {
      // What came meanwhile was not kept: read the page anew.
      window.location.reload();
      return;
    }
    paused = true;
    pause.textContent = pause.dataset.resume;
    show("paused");
  });
  document.body.addEventListener("htmx:sseOpen", () => paused || show("live"));
  document.body.addEventListener("htmx:sseError", () => {
    if (!paused) {
      show("away");
    }
    lookForSession();
  });
  document.body.addEventListener("htmx:sseBeforeMessage", (event) => {
    // After a reconnection the stream may begin where the page did.
    const seen = document.getElementById(`event-${event.detail.lastEventId}`);
    if (paused || seen) {
      event.preventDefault();
    }
  });
  document.body.addEventListener("htmx:sseMessage", () => {
    events.closest("[sse-connect]").parentElement.querySelector(":scope > .nothing")?.remove();
    while (events.rows.length > Number(events.dataset.keep)) {
      events.deleteRow(-1);
    }
  });
}

function signIn(form) {
  const refusal = form.querySelector(".refusal");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    refusal.hidden = true;
    let message = form.dataset.failed;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.ok) {
        window.location.assign(form.elements.namedItem("redirect").value);
        return;
      }
      message = answer.status === 401 ? form.dataset.refused : message;
    } catch {
      // The platform is not there: the message says so already.
    }
    refusal.textContent = message;
    refusal.hidden = false;
  });
}

document.addEventListener("DOMContentLoaded", () => {
  const events = document.querySelector("#events[sse-swap]");
  if (events && window.htmx) {
    follow(events);
  }
  document.body.addEventListener("htmx:responseError", (event) => event.detail.xhr.status === 401 && sessionEnded());
  document.querySelectorAll("form[data-sign-in]").forEach(signIn);
});
