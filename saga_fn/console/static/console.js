"use strict";
(() => {
  const state = document.getElementById("state");
  const say = (text) => { if (state) state.textContent = text; };

  // How long ago each moment is.
  const ago = (seconds) => {
    const later = seconds < 0, length = Math.abs(seconds);
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
      if (length >= 2 * size || size === 1) {
        const said = `${Math.floor(length / size)} ${unit}`;
        return later ? `in ${said}` : `${said} ago`;
      }
    }
  };
  const tellTimes = () => {
    for (const each of document.querySelectorAll("main time")) {
      let beside = each.querySelector("small");
      if (!beside) { beside = document.createElement("small"); each.append(" ", beside); }
      beside.textContent = ago((Date.now() - Date.parse(each.dateTime)) / 1000);
    }
  };
  tellTimes();
  setInterval(() => { if (!document.hidden) tellTimes(); }, 10000);

  // Keys: "/" finds; "g" and a letter opens a page.
  let went = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "/") {
      const find = document.getElementById("find");
      if (find) { event.preventDefault(); find.focus(); }
    } else if (event.key === "g") {
      went = Date.now();
    } else if (Date.now() - went < 1500) {
      went = 0;
      const link = document.querySelector(`nav a[data-key="${CSS.escape(event.key)}"]`);
      if (link) link.click();
    }
  });

  // A form is sent once: a second click does nothing until the page is shown again.
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "post") return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "1";
  });
  addEventListener("pageshow", () => { for (const form of document.forms) delete form.dataset.sent; });

  // The part of the page that is drawn again when the server says that it has changed.
  const live = document.getElementById("live");
  if (!live) return;
  let digest = document.body.dataset.digest, source = null, asking = false;
  const opened = () => [...live.querySelectorAll("details[open][id]")].map((each) => each.id);
  const draw = async () => {
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
      if (!answer.ok) { say("This page cannot be drawn again."); stop(); return; }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      const focused = document.activeElement;
      if (!fresh) return;
      const open = opened(), at = live.contains(focused) ? focused.getAttribute("href") : null;
      live.replaceChildren(...fresh.childNodes);
      for (const id of open) { const each = document.getElementById(id); if (each) each.open = true; }
      if (at !== null) { const same = [...live.querySelectorAll("a")].find((each) => each.getAttribute("href") === at); if (same) same.focus(); }
      digest = page.body.dataset.digest;
      live.classList.remove("changed"); void live.offsetWidth; live.classList.add("changed");
      tellTimes();
    } catch { say("not live"); } finally { asking = false; }
  };
  const stop = () => { if (source) source.close(); source = null; };
  const listen = () => {
    if (source || document.hidden) return;
    source = new EventSource(location.href);
    source.onopen = () => say("live");
    source.onmessage = (event) => { if (event.data !== digest) draw(); };
    source.onerror = () => { if (source && source.readyState === EventSource.CLOSED) { stop(); say("not live"); } };
  };
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); else listen(); });
  addEventListener("pagehide", stop);
  listen();
})();
