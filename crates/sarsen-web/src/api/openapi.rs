//! The API in OpenAPI's terms, made from the table of routes; `docs/openapi.json` is this, and a test compares them.

use serde_json::{Map, Value, json};

use crate::deeds::{self, Deed};
use crate::table::{self, Kind, Need, Route, Verb};

/// The description, ready to be written to a file.
pub(crate) fn document() -> String {
    let mut paths: Map<String, Value> = Map::new();
    let routes = table::all();
    for route in routes.iter().filter(|route| route.kind == Kind::Api) {
        let verb = match route.verb {
            Verb::Get => "get",
            Verb::Post => "post",
        };
        let path = paths
            .entry(route.path.to_string())
            .or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(verb.to_owned(), operation(route));
        }
    }
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Sarsen", "version": env!("CARGO_PKG_VERSION"),
            "description": "The numbers of the dashboard, and everything that it can have done. See docs/api.md.",
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
            "responses": shared_responses(),
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn operation(route: &Route) -> Value {
    let mut operation = Map::new();
    operation.insert("summary".to_owned(), route.about.into());
    operation.insert("operationId".to_owned(), id(route).into());
    if let Need::May(action) = route.need {
        operation.insert(
            "x-sarsen-action".to_owned(),
            format!("{action:?}").to_lowercase().into(),
        );
    }
    let mut parameters: Vec<Value> = path_parameters(&route.path);
    parameters.extend(query_parameters(route.about));
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if route.verb == Verb::Post {
        operation.insert("requestBody".to_owned(), body(route));
    }
    operation.insert("responses".to_owned(), responses(route));
    operation.into()
}

/// `getAppsAppBuildsBuild`
fn id(route: &Route) -> String {
    let mut id = match route.verb {
        Verb::Get => "get",
        Verb::Post => "post",
    }
    .to_owned();
    for word in route
        .path
        .trim_start_matches("/api/v1")
        .split(['/', '{', '}', '-'])
    {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.extend(letters);
    }
    id
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path
        .split('{')
        .skip(1)
        .filter_map(|part| part.split_once('}'));
    let parameter = |(name, _): (&str, &str)| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    names.map(parameter).collect()
}

/// Those that the line about the route names: `?from=N&to=N`.
fn query_parameters(about: &str) -> Vec<Value> {
    let Some((_, query)) = about.split_once('?') else {
        return Vec::new();
    };
    let query = query.split(' ').next().unwrap_or_default();
    let parameter = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let schema = match value {
            "N" | "ID" => json!({ "type": "integer" }),
            words if words.contains('|') => {
                json!({ "type": "string", "enum": words.split('|').collect::<Vec<_>>() })
            }
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "query", "required": name == "from" || name == "to", "schema": schema })
    };
    query.split('&').map(parameter).collect()
}

fn body(route: &Route) -> Value {
    let schema = match route.deed() {
        Some(deed) => fields(deed),
        None if route.path.ends_with("/commands") => {
            json!({ "$ref": "#/components/schemas/Command" })
        }
        None => json!({ "type": "object" }),
    };
    json!({ "required": route.deed().is_none_or(|deed| !deeds::fields_of(deed).is_empty()),
        "content": { "application/json": { "schema": schema } } })
}

fn fields(deed: &Deed) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    for (name, optional) in deeds::fields_of(deed) {
        properties.insert(name.to_owned(), json!({ "type": ["string", "number"] }));
        if !optional {
            required.push(name);
        }
    }
    let wait = json!({ "$ref": "#/components/schemas/Wait" });
    properties.insert("wait".to_owned(), wait);
    json!({ "type": "object", "description": format!("Carries out: {}", deeds::line(deed, &[])),
        "properties": properties, "required": required,
        "additionalProperties": deed.words.contains("{...=}") })
}

fn responses(route: &Route) -> Value {
    let shared = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    let mut responses = Map::new();
    let mut put = |status: &str, answer: Value| drop(responses.insert(status.to_owned(), answer));
    match (route.verb, content(&route.path)) {
        (Verb::Post, _) => {
            put("200", shared("Done"));
            put("202", shared("UnderWay"));
            put("400", shared("Wrong"));
            put("422", shared("NotDone"));
        }
        (Verb::Get, kind) => {
            put(
                "200",
                json!({ "description": "As asked", "content": { kind: {} } }),
            );
            put("422", shared("Wrong"));
        }
    }
    for (status, name) in [("401", "NotSignedIn"), ("403", "Denied"), ("404", "Unseen")] {
        put(status, shared(name));
    }
    responses.into()
}

fn content(path: &str) -> &'static str {
    if path.ends_with("/live") {
        "text/event-stream"
    } else if path.ends_with("/log") || path.ends_with("/logs") {
        "text/plain"
    } else {
        "application/json"
    }
}

fn shared_responses() -> Value {
    let answer = |text: &str, schema: &str| {
        json!({ "description": text,
            "content": { "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } } })
    };
    json!({
        "Done": answer("Done", "Run"),
        "UnderWay": answer("Still under way: see /api/v1/runs/{id}", "Run"),
        "NotDone": answer("The command failed: its output says why", "Run"),
        "Wrong": answer("A field is missing or wrong, or it could not be found out", "Error"),
        "NotSignedIn": answer("No token, or none that is good", "Error"),
        "Denied": answer("The token may not do this", "Error"),
        "Unseen": answer("Not there, or not the token's to see", "Error"),
    })
}

fn schemas() -> Value {
    json!({
        "Wait": { "type": "integer", "description": "Seconds to wait for the end, 30 unless given, 300 at most" },
        "Error": { "type": "object", "required": ["error"], "properties": { "error": { "type": "string" } } },
        "Command": {
            "type": "object", "required": ["words"],
            "properties": {
                "words": { "type": "array", "items": { "type": "string" }, "description": "As on the command line: [\"ps:scale\", \"shop\", \"web=2\"]" },
                "stdin": { "type": "string" },
                "wait": { "$ref": "#/components/schemas/Wait" },
            },
        },
        "Run": {
            "type": "object", "required": ["id", "command", "state", "started_at", "output", "omitted"],
            "properties": {
                "id": { "type": "string" },
                "command": { "type": "string", "description": "The command line, without secrets" },
                "app": { "type": ["string", "null"] },
                "state": { "type": "string", "enum": ["running", "ended"] },
                "exit_code": { "type": ["integer", "null"] },
                "started_at": { "type": "integer", "description": "Unix seconds, as every time" },
                "finished_at": { "type": ["integer", "null"] },
                "output": { "type": "string", "description": "The end of what it wrote, standard error included" },
                "omitted": { "type": "integer", "description": "Bytes that came before" },
            },
        },
    })
}
