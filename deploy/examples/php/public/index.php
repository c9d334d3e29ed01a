<?php

header('Content-Type: text/plain; charset=utf-8');
printf("Hello from PHP on Sarsen (%s, %s)\n", getenv('DYNO') ?: 'local', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
