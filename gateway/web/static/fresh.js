// Keeps an element with data-fresh="/address" as the server has it now, and sends forms in it without leaving.
"use strict";

for (const place of document.querySelectorAll("[data-fresh]")) {
  let shown = "";
  const follow = "follow" in place.dataset;
  const toEnd = () => follow && (place.scrollTop = place.scrollHeight);

  const refresh = async () => {
    const answer = await fetch(place.dataset.fresh, {cache: "no-store", signal: AbortSignal.timeout(10000)});
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    if (text === shown) return;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 80;
    place.innerHTML = text;
    if (!shown || atEnd) toEnd();
    shown = text;
  };
  const stale = (is) => document.body.classList.toggle("stale", is); // what stands there may be old: say so
  const again = () => refresh().then(() => stale(false), () => stale(true))
    .finally(() => setTimeout(again, Number(place.dataset.every)));

  place.addEventListener("submit", async (event) => {
    const form = event.target;
    event.preventDefault();
    form.querySelector("button").disabled = true;
    const body = new URLSearchParams(new FormData(form));
    const sent = await fetch(form.action, {method: "POST", body, redirect: "manual"}).catch(() => null);
    if (!sent || (sent.type !== "opaqueredirect" && !sent.ok)) return form.submit(); // let the server say why
    await refresh().catch(() => {});
    toEnd();
  });

  toEnd();
  again();
}
