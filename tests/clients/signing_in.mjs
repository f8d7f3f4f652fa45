// GraphiQL where it is for an ADMIN: a form stands before it, and what was said in it is nowhere in the browser's storage.
import { launched } from "./browser.mjs";
import { say, url } from "./support.mjs";

const [, , , chromium, password] = process.argv;
const browser = await launched(chromium);
const page = await browser.newPage();
const complaints = [];
page.on("pageerror", (error) => complaints.push(String(error)));

async function signIn(email, password) {
  for (const [name, text] of Object.entries({ email, password })) {
    await page.$eval(`#sign-in [name=${name}]`, (field, text) => { field.value = text; }, text);
  }
  await page.$eval("#refused", (place) => { place.textContent = ""; });
  await page.click("#sign-in button");
}
async function told() {
  await page.waitForFunction(() => document.getElementById("refused").textContent);
  return page.$eval("#refused", (place) => place.textContent);
}
const [QUERY, HEADERS] = [".graphiql-query-editor .CodeMirror", ".graphiql-editor-tool .graphiql-editor:not(.hidden) .CodeMirror"];
const edit = (place, text) => page.$eval(place, (editor, text) => editor.CodeMirror.setValue(text), text);

await page.goto(url);
await page.waitForSelector("#sign-in button", { visible: true });
const refused = [];
await signIn("root@example.com", "not the password");
refused.push(await told());
await signIn("ada@example.com", password);
refused.push(await told());
await signIn("root@example.com", password);
await page.waitForSelector(".graphiql-execute-button");

await edit(QUERY, "{ viewer { role } }");
await page.click(".graphiql-execute-button");
await page.waitForFunction(() => document.querySelector(".result-window .CodeMirror")?.CodeMirror.getValue().includes("ADMIN"));
const answer = JSON.parse(await page.evaluate(() => document.querySelector(".result-window .CodeMirror").CodeMirror.getValue()));
await page.click("button[aria-label*='Documentation Explorer']");
await page.waitForSelector(".graphiql-doc-explorer-content");
await page.waitForFunction(() => document.querySelector(".graphiql-doc-explorer-content").textContent.includes("Query"));
const documented = await page.$eval(".graphiql-doc-explorer-content", (place) => place.textContent);

// A token in the tab's headers, too: neither it nor the password may be kept.
await page.evaluate(() => [...document.querySelectorAll(".graphiql-editor-tools button")].find((each) => each.textContent === "Headers").click());
await page.waitForSelector(HEADERS);
await edit(HEADERS, '{"Authorization": "Bearer typed-by-hand"}');
await edit(QUERY, "{ viewer { email } }");
const storage = () => page.evaluate(() => JSON.stringify(localStorage));
await page.waitForFunction(() => JSON.stringify(localStorage).includes("viewer { email }"));
await new Promise((resolve) => setTimeout(resolve, 1500)); // what is typed is kept half a second later
const all = await storage();
const kept = ["typed-by-hand", password, "eyJ"].filter((secret) => all.includes(secret));
await browser.close();
say({ refused, answer, documented, kept, complaints });
process.exit();
