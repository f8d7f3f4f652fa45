// GraphiQL in a browser: its example tabs, the sign-in that they share, a subscription over the websocket, the documentation.
import { launched } from "./browser.mjs";
import { order, PLACE_ORDER, post, say, url } from "./support.mjs";

const [, , , chromium, pictures] = process.argv;
const browser = await launched(chromium);
const page = await browser.newPage();
await page.setViewport({ width: 1400, height: 900 });
const [elsewhere, complaints] = [[], []];
const here = new URL(url).host;
page.on("request", (request) => {
  const { protocol, host } = new URL(request.url());
  if (protocol !== "data:" && host !== here) elsewhere.push(request.url());
});
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(String(error)));

const picture = (name) => page.screenshot({ path: `${pictures}/${name}.png` });
const shown = () => page.evaluate(() => document.querySelector(".result-window .CodeMirror")?.CodeMirror.getValue() ?? "");
const shows = (text, timeout = 30000) =>
  page.waitForFunction(
    (text) => document.querySelector(".result-window .CodeMirror")?.CodeMirror.getValue().includes(text), { timeout }, text);
async function tab(number, text) {
  await (await page.$$(".graphiql-tab-button"))[number - 1].click();
  await page.waitForFunction(
    (text) => document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.getValue().includes(text), {}, text);
  await new Promise((resolve) => setTimeout(resolve, 1000)); // it looks at what it shows a little later
}
const run = () => page.click(".graphiql-execute-button");

await page.goto(url);
await page.waitForSelector(".graphiql-execute-button");
await page.waitForFunction(() => document.querySelector(".graphiql-query-editor .CodeMirror")?.CodeMirror.getValue().includes("Sign in"));
await picture("first-visit");
const tabs = await page.$$eval(".graphiql-tab-button", (buttons) => buttons.map((button) => button.textContent));

await run();
await shows("accessToken");
const { data: { login } } = JSON.parse(await shown());
await tab(2, "query Portfolios");
await run();
await shows("buyingPower");
const { data: { viewer } } = JSON.parse(await shown());
const portfolioId = viewer.portfolios.edges[0].node.id;
await picture("query");

await tab(4, "subscription");
await run();
await page.waitForSelector(".graphiql-spinner, .graphiql-execute-button[aria-label*='Stop']");
// The stream begins when the server has heard of it: orders until an event has come.
let event;
for (let number = 0; !event && number < 50; number += 1) {
  await post(PLACE_ORDER, { input: order(portfolioId, `graphiql-${number}`) }, login.accessToken);
  event = await shows("positionEvents", 2000).then(shown, () => undefined);
}
await picture("subscription");

await run(); // stops it
await tab(3, "mutation PlaceOrder");
const headers = await page.$$eval(".graphiql-editor-tools button:not([aria-label])", (buttons) => buttons.map((button) => button.textContent));
await page.click("button[aria-label*='Documentation Explorer']");
await page.waitForSelector(".graphiql-doc-explorer-content");
await page.waitForFunction(() => document.querySelector(".graphiql-doc-explorer-content").textContent.includes("Mutation"));
await picture("documentation");
await browser.close();
say({ tabs, errors: login.errors, event: JSON.parse(event).data.positionEvents.type, headers, elsewhere, complaints });
process.exit();
