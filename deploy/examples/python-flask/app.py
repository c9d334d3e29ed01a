import os

from flask import Flask, jsonify, render_template

app = Flask(__name__)


@app.get("/")
def index():
    return render_template(
        "index.html",
        dyno=os.environ.get("DYNO", "local"),
        release=os.environ.get("HEROKU_RELEASE_VERSION", ""),
        greeting=os.environ.get("GREETING", "Hello from Flask on Sarsen"),
    )


@app.get("/health")
def health():
    return jsonify(status="ok")
