//! A control over a store in a temporary folder and an engine in memory, and a browser without a network.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use sarsen_control::{Control, Look, Opened, SignIn, fake};
use sarsen_domain::{
    AppName, BuildId, BuildKind, BuildSource, BuildStatus, BuilderKind, CommitId, Config,
    Formation, ImageRef, KeyName, Procfile, Right, SshKey,
};
use sarsen_router::FakeIssuer;
use sarsen_runtime::fake::FakeRuntime;
use sarsen_store::{Holder, NewRelease, Replace, Scope};
use tower::ServiceExt;

const COMMIT: &str = "0123abcd0123abcd0123abcd0123abcd0123abcd";

pub(super) struct World {
    pub(super) control: Control,
    pub(super) engine: FakeRuntime,
    pub(super) cookie: Option<String>,
    /// What forms of the session carry.
    pub(super) csrf: String,
    /// Headers of every request.
    pub(super) headers: Vec<(&'static str, String)>,
    /// Where the dashboard seems to listen.
    pub(super) address: SocketAddr,
    folder: tempfile::TempDir,
}

pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) body: String,
    headers: HeaderMap,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let engine = FakeRuntime::new();
        let control = fake::control(folder.path(), &engine, &FakeIssuer::default())
            .await
            .unwrap();
        let domains = control.store.domains();
        domains
            .set(&Scope::Global, &["apps.test".parse().unwrap()])
            .await
            .unwrap();
        Self {
            control,
            engine,
            cookie: None,
            csrf: String::new(),
            headers: Vec::new(),
            address: ([127, 0, 0, 1], 8180).into(),
            folder,
        }
    }

    pub(super) async fn signed_in(self) -> Self {
        let ada = Holder::Local {
            user: "ada".to_owned(),
        };
        self.signed_in_as(&ada).await
    }

    /// From here on requests come from this one's browser.
    pub(super) async fn signed_in_as(mut self, holder: &Holder) -> Self {
        let token = self.control.issue_link(holder).await.unwrap();
        let sign_in = SignIn {
            token: &token,
            source: None,
            agent: "test",
        };
        let Opened::Session(secret) = self.control.sign_in(sign_in).await.unwrap() else {
            panic!("the link is good");
        };
        let session = self.control.web_session(&secret, None, Look::Only).await;
        self.csrf = session.unwrap().unwrap().csrf;
        self.cookie = Some(format!("sarsen_session={secret}"));
        self
    }

    /// A key with a right on an app.
    pub(super) async fn key(&self, name: &str, app: &str, right: Right) -> Holder {
        let name: KeyName = name.parse().unwrap();
        let store = &self.control.store;
        let key = SshKey {
            fingerprint: format!("SHA256:{name}"),
            public_key: format!("ssh-ed25519 {name}"),
            name: name.clone(),
        };
        store.ssh_keys().add_limited(&key).await.unwrap();
        let scope = Scope::App(app.parse().unwrap());
        store.access().grant(&name, &scope, right).await.unwrap();
        Holder::Key { name }
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        self.ask("GET", path).await
    }

    /// A form of ours.
    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Page {
        let mark = ("csrf", self.csrf.as_str());
        let fields = fields.iter().copied().chain([mark]);
        let mut form = form_urlencoded::Serializer::new(String::new());
        let body = form.extend_pairs(fields).finish();
        self.send(
            "POST",
            path,
            Some(("application/x-www-form-urlencoded", body)),
        )
        .await
    }

    pub(super) async fn ask(&self, method: &str, path: &str) -> Page {
        self.send(method, path, None).await
    }

    /// The routes, for requests that share their limits.
    pub(super) fn routes(&self) -> axum::Router {
        crate::routes(self.control.clone(), Some(self.address))
    }

    /// Begins a request whose answer does not end.
    pub(super) async fn open(&self, routes: &axum::Router, path: &str) -> Response {
        let request = self.request("GET", path).body(Body::empty()).unwrap();
        routes.clone().oneshot(request).await.unwrap()
    }

    fn request(&self, method: &str, path: &str) -> Builder {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        request
    }

    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, String)>,
    ) -> Page {
        let mut request = self.request(method, path);
        let (kind, body) = body.map_or((None, String::new()), |(kind, body)| (Some(kind), body));
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.routes().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Page {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) async fn app(&self, name: &str) {
        self.control.store.apps().create(&app(name)).await.unwrap();
    }

    /// A build that has begun.
    pub(super) async fn begin(&self, name: &str) -> BuildId {
        let builds = self.control.store.builds();
        let build = builds
            .start(&app(name), BuildKind::Build, BuildSource::GitHook, "ada")
            .await
            .unwrap();
        let commit = CommitId::parse(COMMIT).unwrap();
        builds.set_commit(&build.id, &commit).await.unwrap();
        build.id
    }

    /// A build that has ended; a release went live when it succeeded. No container of it is left.
    pub(super) async fn release(&self, name: &str, status: BuildStatus) -> BuildId {
        let build = self.begin(name).await;
        let store = &self.control.store;
        if status == BuildStatus::Succeeded {
            let release = store
                .releases()
                .create(new_release(name, &build))
                .await
                .unwrap();
            store
                .instances()
                .promote(&app(name), release.number, &build, Replace::All)
                .await
                .unwrap();
        }
        let error = (status != BuildStatus::Succeeded).then_some("it broke");
        store
            .builds()
            .finish(&build, status, None, error)
            .await
            .unwrap();
        build
    }

    pub(super) fn log(&self, name: &str, build: &BuildId, text: &str) {
        let folder = self.folder.path().join("data/builds").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{build}.log")), text).unwrap();
    }
}

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn new_release(name: &str, build: &BuildId) -> NewRelease {
    NewRelease {
        app: app(name),
        image: ImageRef::parse("sha256:0123").unwrap(),
        builder: BuilderKind::Dockerfile,
        commit: Some(CommitId::parse(COMMIT).unwrap()),
        config: Config::default(),
        procfile: Procfile::default(),
        formation: Formation::initial(),
        detected_ports: vec!["http:80:5000".parse().unwrap()],
        app_json: None,
        build: build.clone(),
        author: "ada".to_owned(),
        description: "Deploy <b>".to_owned(),
    }
}
