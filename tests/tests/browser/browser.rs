//! A Chromium without a window, driven by chromedriver.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use session_gate_tests::poll::until;
use session_gate_tests::ports::free_port;
use session_gate_tests::process::Process;
use session_gate_tests::tools;
use tempfile::TempDir;
use tokio::process::Command;

use crate::scene::GATE;

pub const COOKIE: &str = "__Host-session-gate";
pub const DEVICE: &str = "__Host-session-gate-d";

/// The running browser. Dropping it ends it: a Chromium that is driven through a pipe ends with its driver.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    port: u16,
    _driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Starts one that finds the gate on that port.
    pub async fn start(port: u16, dir: &Path) -> Result<Self> {
        let driver_port = free_port()?;
        let profile = tempfile::Builder::new().prefix("chromium-").tempdir_in(dir)?;
        let mut command = Command::new(tools::chromedriver()?);
        command.arg(format!("--port={driver_port}")).env("TMPDIR", profile.path());
        let mut driver = Process::start("chromedriver", command, profile.path())?;
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities(profile.path()));
        let client = until("a browser", async || {
            driver.ensure_running()?;
            Ok(builder.connect(&format!("http://127.0.0.1:{driver_port}")).await?)
        })
        .await?;
        Ok(Self { client, port, _driver: driver, _profile: profile })
    }

    /// The address of a path at the gate.
    pub fn url(&self, path: &str) -> String {
        self.url_at(GATE, path)
    }

    /// The same at another host.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    /// Opens a page of the gate's.
    pub async fn open(&self, path: &str) -> Result<()> {
        Ok(self.client.goto(&self.url(path)).await?)
    }

    /// Opens a page of another host.
    pub async fn open_at(&self, host: &str, path: &str) -> Result<()> {
        Ok(self.client.goto(&self.url_at(host, path)).await?)
    }

    /// What the window shows as text, once it has `text` in it.
    pub async fn sees(&self, text: &str) -> Result<String> {
        until("a page", async || {
            let body = self.client.find(Locator::Css("body")).await?.text().await?;
            ensure!(body.contains(text), "the page at {} has no {text:?}: {body}", self.client.current_url().await?);
            Ok(body)
        })
        .await
    }

    /// Waits until the window shows that path with that query.
    pub async fn is_at(&self, path: &str) -> Result<()> {
        let expected = self.url(path);
        until("an address", async || {
            let url = self.client.current_url().await?;
            if url.as_str() != expected {
                let body = self.client.find(Locator::Css("body")).await?.text().await?;
                bail!("the window shows {url}, not {expected}: {body}");
            }
            Ok(())
        })
        .await
    }

    /// Waits until the window has that title.
    pub async fn has_title(&self, expected: &str) -> Result<()> {
        until("a title", async || {
            let title = self.client.title().await?;
            ensure!(title == expected, "the title is {title:?}");
            Ok(())
        })
        .await
    }

    /// Leaves the gate's pages, so that none asks for anything.
    pub async fn open_blank(&self) -> Result<()> {
        Ok(self.client.goto("about:blank").await?)
    }

    /// Fills the page's fields and presses the button.
    pub async fn send(&self, fields: &[(&str, &str)], button: &str) -> Result<()> {
        for (name, value) in fields {
            // A tab that has just come to the front may lose what is typed.
            until("a field to be filled", async || {
                let field = self.client.find(Locator::Css(&format!("input[name={name}]"))).await?;
                field.clear().await?;
                field.send_keys(value).await?;
                let typed = field.prop("value").await?;
                ensure!(typed.as_deref() == Some(*value), "{name} has {typed:?}");
                Ok(())
            })
            .await?;
        }
        self.press(button).await
    }

    /// Presses the button with that text.
    pub async fn press(&self, button: &str) -> Result<()> {
        let path = format!("//button[normalize-space()='{button}']");
        Ok(self.client.find(Locator::XPath(&path)).await?.click().await?)
    }

    /// Follows the link with that text, as a person does.
    pub async fn follow(&self, link: &str) -> Result<()> {
        Ok(self.client.find(Locator::LinkText(link)).await?.click().await?)
    }

    /// Opens the login form, sends it, and waits until it has led to the account.
    pub async fn log_in(&self, user: &str, password: &str) -> Result<()> {
        self.open("/login").await?;
        self.send(&[("user", user), ("password", password)], "Sign in").await?;
        self.is_at("/account").await
    }

    /// The cookie of that name, of whatever page.
    pub async fn cookie(&self, name: &str) -> Result<Option<Value>> {
        Ok(self.jar().await?.into_iter().find(|cookie| cookie.get("name") == Some(&json!(name))))
    }

    /// The session cookie's value.
    pub async fn token(&self) -> Result<String> {
        let cookie = self.cookie(COOKIE).await?.context("no session cookie")?;
        Ok(cookie.get("value").and_then(Value::as_str).context("a value")?.to_owned())
    }

    /// Waits until there is no session cookie.
    pub async fn has_no_session_cookie(&self) -> Result<()> {
        until("the cookie to be gone", async || {
            ensure!(self.cookie(COOKIE).await?.is_none(), "there is a session cookie");
            Ok(())
        })
        .await
    }

    /// Puts another value into the session cookie.
    pub async fn set_token(&self, token: &str) -> Result<()> {
        self.set_cookie(token, &json!({})).await
    }

    /// The same, with other attributes.
    pub async fn set_cookie(&self, token: &str, attributes: &Value) -> Result<()> {
        let mut cookie = json!({
            "url": self.url("/"), "name": COOKIE, "value": token, "path": "/", "secure": true, "httpOnly": true,
            "sameSite": "Lax",
        });
        if let (Some(cookie), Some(attributes)) = (cookie.as_object_mut(), attributes.as_object()) {
            cookie.extend(attributes.clone());
        }
        let set = self.devtools("Network.setCookie", cookie).await?;
        ensure!(set.get("success") == Some(&json!(true)), "the browser takes no such cookie: {set}");
        Ok(())
    }

    /// All cookies of the browser, partitioned ones too, with the site in whose frames they are sent.
    pub async fn jar(&self) -> Result<Vec<Value>> {
        let all = self.devtools("Network.getAllCookies", json!({})).await?;
        Ok(all.get("cookies").and_then(Value::as_array).context("cookies")?.clone())
    }

    /// Runs a script in the page and returns what it returns.
    pub async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.client.execute(script, Vec::new()).await?)
    }

    /// What the page's own `fetch` of that path is answered: status, media type, and the code of a refusal.
    pub async fn fetch(&self, path: &str) -> Result<(u64, String, Option<String>)> {
        let script = "const [path, done] = arguments; fetch(path).then(async answer => done([answer.status, \
                      answer.headers.get('content-type'), (await answer.json().catch(() => ({}))).code ?? null]))";
        let answer = self.client.execute_async(script, vec![json!(path)]).await?;
        let status = answer.get(0).and_then(Value::as_u64).context("a status")?;
        let kind = answer.get(1).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((status, kind, answer.get(2).and_then(Value::as_str).map(str::to_owned)))
    }

    /// What no command of WebDriver's does.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// A command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, method: &'static str, params: Value) -> Result<Value> {
        Ok(self.client.issue_cmd(Devtools { method, params }).await?)
    }
}

fn capabilities(profile: &Path) -> Capabilities {
    let args = [
        "--headless=new".to_owned(),
        format!("--user-data-dir={}", profile.join("profile").display()),
        "--remote-debugging-pipe".to_owned(),
        // Containers have no user namespaces and little shared memory.
        "--no-sandbox".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        // No name leads elsewhere, and every certificate will do.
        "--host-resolver-rules=MAP * 127.0.0.1".to_owned(),
        "--ignore-certificate-errors".to_owned(),
    ];
    let options = json!({"args": args, "excludeSwitches": ["disable-back-forward-cache"]});
    [("goog:chromeOptions".to_owned(), options)].into_iter().collect()
}

#[derive(Debug)]
struct Devtools {
    method: &'static str,
    params: Value,
}

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({"cmd": self.method, "params": self.params}).to_string()))
    }
}
