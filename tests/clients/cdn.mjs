// GraphiQL's page where nothing is installed: this script stands for the CDN, with the files that it is given, or with none.
import { readFileSync } from "node:fs";
import { launched } from "./browser.mjs";
import { say, url } from "./support.mjs";

const [, , , chromium, picture, files, lacking] = process.argv;
const onCdn = JSON.parse(files);
const browser = await launched(chromium);
const page = await browser.newPage();
const [asked, complaints] = [[], []];
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
await page.setRequestInterception(true);
page.on("request", (request) => {
  if (request.url().startsWith("data:") || new URL(request.url()).host === new URL(url).host) return request.continue();
  asked.push(request.url());
  const path = onCdn[request.url()];
  if (!path) return request.abort();
  const contentType = path.endsWith(".css") ? "text/css" : "text/javascript";
  return request.respond({ headers: { "Access-Control-Allow-Origin": "*" }, contentType, body: readFileSync(path) });
});
await page.goto(url, { waitUntil: "load" });
await page.waitForSelector(lacking === "True" ? "#waiting" : ".graphiql-execute-button");
const said = await page.$eval("#graphiql", (element) => element.textContent);
await page.screenshot({ path: picture });
await browser.close();
say({ asked, said, complaints });
process.exit();
