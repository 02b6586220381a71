// Without it the page is complete, and still: it only fetches the page again while the run is alive, less often
// when that takes the server long, and leaves what was opened or scrolled as it was.
(function follow(wait) {
  if (!document.querySelector("main[data-alive]")) return;
  setTimeout(async () => {
    const began = performance.now(), main = document.querySelector("main");
    try {
      const text = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
      const old = (id, tag) => [...main.querySelectorAll(tag)].find((item) => item.dataset.id === id);
      fresh.querySelectorAll("details").forEach((item) => {
        item.open = (old(item.dataset.id, "details") ?? item).open;
      });
      const scrolled = [...fresh.querySelectorAll(".log")].map((item) => [item, old(item.dataset.id, ".log")]);
      const places = scrolled.map(([, before]) => before?.scrollTop ?? 0);
      main.replaceWith(fresh);
      scrolled.forEach(([item], i) => { item.scrollTop = places[i]; });
    } catch (error) { main.classList.add("away"); }
    follow(Math.max(1000, 10 * (performance.now() - began)));
  }, wait);
})(1000);
