// Chromium without a window, which asks for nothing by itself.
import puppeteer from "puppeteer-core";

export const launched = (executablePath) =>
  puppeteer.launch({
    executablePath,
    args: [
      "--no-sandbox", "--disable-gpu", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
