// The page is complete without it. It takes over Airflow's colours, lets links leave the frame, and fetches the page
// again while there is something to see.
const framed = (() => { try { return parent !== window && parent.document; } catch (error) { return null; } })();
function paint() {
  if (framed) document.documentElement.dataset.theme = framed.documentElement.classList.contains("dark") ? "dark" : "light";
}
paint();
if (framed) new MutationObserver(paint).observe(framed.documentElement, { attributes: true });
document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !framed) return;
  // Airflow's frame opens no windows; a link of Airflow's own document does.
  event.preventDefault();
  const outside = framed.createElement("a");
  outside.href = link.href;
  outside.rel = "noopener noreferrer";
  if (link.target === "_blank") outside.target = "_blank";
  outside.click();
});
setInterval(async () => {
  const main = document.querySelector("main[data-alive]");
  if (!main || document.hidden) return;
  try {
    const answer = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    main.querySelectorAll("details").forEach((old) => {
      const item = [...fresh.querySelectorAll("details")].find((each) => each.dataset.id === old.dataset.id);
      if (item) item.open = old.open;
    });
    main.replaceWith(fresh);
  } catch (error) { main.classList.add("away"); }
}, 15000);
