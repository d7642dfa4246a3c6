// SPDX-License-Identifier: MIT

// Follows the emulator and puts what it sends into the page: pieces of the page itself,
// made and escaped by the same template.
"use strict";

const most = 100;
const list = document.getElementById("list");
const live = document.getElementById("live");
const state = document.getElementById("state");
let latest = "";
let shown = "";

const source = new EventSource(list.dataset.events);

source.addEventListener("open", () => {
  live.textContent = "Live";
  live.className = "on";
});

source.addEventListener("error", () => {
  live.textContent = source.readyState === EventSource.CLOSED ? "Not live: reload for newer requests" : "Not connected, trying again";
  live.className = "";
});

source.addEventListener("request", (e) => {
  document.getElementById("request-" + e.lastEventId)?.remove();
  list.insertAdjacentHTML("afterbegin", e.data);
  while (list.children.length > most) list.lastElementChild.remove();
  document.getElementById("none").hidden = true;
});

source.addEventListener("state", (e) => {
  latest = e.data;
  drawState();
});

// Focus is between two elements while it leaves one.
state.addEventListener("focusout", () => setTimeout(drawState));

function drawState() {
  // Not while somebody is about to press one of its buttons by the keyboard.
  if (latest === shown || state.contains(document.activeElement)) return;
  shown = latest;
  state.innerHTML = latest;
}
