// What the gateway refuses: problem details (RFC 9457) as web/errors.py makes them, or a page for people.

const RETRY_AFTER_S = { 429: 60, 502: 5, 503: 5, 504: 5 };
const CODES = {
    400: 'malformed_request',
    404: 'unknown_route',
    405: 'method_not_allowed',
    413: 'request_too_large',
    421: 'bad_host',
    429: 'too_many_requests',
    431: 'request_too_large',
    500: 'internal_error',
    502: 'service_away',
    503: 'service_away',
    504: 'service_slow',
};

// code → [title, detail]; those of web/texts.py and certs/texts.py word for word (a test compares).
const FRENCH = {
    not_signed_in: ['Connexion nécessaire', "Connectez-vous, ou joignez un jeton d'accès valide à la demande."],
    bad_token: ['Jeton refusé', "Le jeton d'accès est illisible, expiré ou n'a pas été émis par cette plateforme."],
    malformed_request: ['Demande illisible', "La demande n'est pas lisible : vérifiez le JSON et les paramètres."],
    unknown_route: ['Page introuvable', "Il n'y a rien à cette adresse."],
    method_not_allowed: ['Méthode refusée', "Cette adresse n'accepte pas cette méthode HTTP."],
    request_too_large: ['Demande trop grande', 'Le corps de la demande dépasse la taille permise.'],
    bad_host: ['Hôte refusé', "Cette plateforme ne répond pas sous ce nom d'hôte."],
    too_many_requests: ['Trop de demandes', 'Trop de demandes en peu de temps. Réessayez dans une minute.'],
    refused: ['Demande refusée', 'La demande ne peut pas être traitée.'],
    internal_error: ['Erreur interne', "La demande a échoué. L'incident est consigné sous son « request_id »."],
    service_away: ['Service indisponible', 'Le service ne répond pas pour l\'instant. Réessayez dans un moment.'],
    service_slow: ['Service trop lent', "Le service n'a pas répondu à temps. Réessayez."],
    csr_too_large: ['Demande trop grande', 'La demande de certificat dépasse la taille permise.'],
    certificate_unknown: ['Certificat inconnu', 'Le registre des certificats ne connaît pas ce certificat.'],
    certificate_expired: [
        'Certificat expiré',
        "Le certificat de l'appareil a expiré : vérifiez son horloge ; s'il est trop tard, il lui faut un nouveau code.",
    ],
    certificate_not_yet_valid: [
        'Certificat pas encore valable',
        "Le certificat n'est pas encore valable : l'une des horloges n'est pas à l'heure.",
    ],
};
const ENGLISH = {
    not_signed_in: ['Sign-in needed', 'Sign in, or send a valid access token with the request.'],
    bad_token: ['Token refused', 'The access token is unreadable, expired, or was not issued by this platform.'],
    malformed_request: ['Unreadable request', 'The request cannot be read: check its JSON and parameters.'],
    unknown_route: ['Not found', 'There is nothing at this address.'],
    method_not_allowed: ['Method not allowed', 'This address does not take this HTTP method.'],
    request_too_large: ['Request too large', 'The body of the request is larger than allowed.'],
    bad_host: ['Host refused', 'This platform does not answer under this host name.'],
    too_many_requests: ['Too many requests', 'Too many requests in a short time. Try again in a minute.'],
    refused: ['Request refused', 'The request cannot be handled.'],
    internal_error: ['Internal error', 'The request failed. The incident is logged under its `request_id`.'],
    service_away: ['Service unavailable', 'The service does not answer now. Try again in a moment.'],
    service_slow: ['Service too slow', 'The service did not answer in time. Try again.'],
    csr_too_large: ['Request too large', 'The certificate request is larger than what is read.'],
    certificate_unknown: ['Unknown certificate', 'The ledger does not know this certificate.'],
    certificate_expired: [
        'Certificate expired',
        "The device's certificate has ended: look at its clock; if it is too late, the device needs a new claim code.",
    ],
    certificate_not_yet_valid: [
        'Certificate not yet valid',
        'The certificate is not valid yet: one of the two clocks is wrong.',
    ],
};
const TEXTS = { fr: FRENCH, en: ENGLISH };

// Nobody is signed in. A page sends its browser to the renewal, which knows whether it may come back at once, exactly as
// web/pages/problem.py does; a program is told.
function refused(r) {
    if (!wantsPage(r)) {
        r.headersOut['WWW-Authenticate'] = 'Bearer realm="solarperform"';
        answer(r, 401, r.variables.sp_verdict || 'bad_token');
        return;
    }
    r.headersOut['Cache-Control'] = 'no-store';
    if (r.headersIn['HX-Request'] !== undefined) {
        r.headersOut['HX-Refresh'] = 'true';
        r.status = 401; // r.return without a text would come back here
        r.sendHeader();
        r.finish();
        return;
    }
    const back = r.method === 'GET' || r.method === 'HEAD' ? r.variables.request_uri : '/';
    r.return(303, `/api/v1/auth/renew?next=${encodeURIComponent(back)}`);
}

// Whatever else nginx itself has refused.
function told(r) {
    const status = Number(r.variables.status);
    const code = CODES[status] || (status < 500 ? 'refused' : 'internal_error');
    answer(r, status, forDevice(r) && code === 'request_too_large' ? 'csr_too_large' : code);
}

// A client's certificate that does not stand up to its authority, or to the time.
function certificate(r) {
    const why = r.variables.ssl_client_verify || '';
    let code = 'certificate_unknown';
    if (/expired/.test(why)) {
        code = 'certificate_expired';
    } else if (/not yet valid/.test(why)) {
        code = 'certificate_not_yet_valid';
    }
    answer(r, 403, code);
}

function answer(r, status, code) {
    const language = languageOf(r);
    r.headersOut['Cache-Control'] = 'no-store';
    r.headersOut['Content-Language'] = language;
    r.headersOut['Vary'] = 'Accept-Language, Cookie';
    r.headersOut['X-Frame-Options'] = 'DENY';
    r.headersOut['Referrer-Policy'] = 'same-origin';
    if (RETRY_AFTER_S[status] !== undefined) {
        r.headersOut['Retry-After'] = String(RETRY_AFTER_S[status]);
    }
    if (wantsPage(r)) {
        r.headersOut['Content-Type'] = 'text/html; charset=utf-8';
        r.headersOut['Content-Security-Policy'] = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
        r.return(status, page(language, code, r.variables.request_id));
        return;
    }
    r.headersOut['Content-Type'] = 'application/problem+json';
    r.headersOut['Content-Security-Policy'] = "default-src 'none'; frame-ancestors 'none'";
    const text = TEXTS[language][code];
    r.return(
        status,
        JSON.stringify({
            type: `urn:solarperform:problem:${code}`,
            title: text[0],
            status,
            detail: text[1],
            code,
            instance: r.uri,
            request_id: r.variables.request_id,
        }),
    );
}

// Both languages, the reader's first. Nothing in it comes from the request.
function page(language, code, requestId) {
    const part = (each) => {
        const text = TEXTS[each][code];
        return `<section lang="${each}"><h2>${text[0]}</h2><p>${text[1]}</p></section>`;
    };
    const other = language === 'fr' ? 'en' : 'fr';
    return (
        `<!doctype html><html lang="${language}"><head><meta charset="utf-8">` +
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>SolarPerform</title>' +
        '<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1c2733;' +
        'background:#fff}h1{font-size:1.1rem}h2{margin-bottom:0}section+section{color:#5b6773}small{color:#5b6773}' +
        '@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#10171e}}</style></head><body>' +
        `<h1>SolarPerform</h1>${part(language)}${part(other)}<p><small>${requestId}</small></p></body></html>`
    );
}

// As web/errors.py: outside of these, people look.
function wantsPage(r) {
    return !/^\/(api\/|health\/|metrics|static\/|\.well-known\/)/.test(r.uri || '/api/');
}

function forDevice(r) {
    return /^\/\.well-known\//.test(r.uri || '');
}

// As web/language.py: the choice made in this browser, else what it asks for, else French. Devices ask for none: English.
function languageOf(r) {
    const chosen = r.variables.cookie_sp_language;
    if (chosen === 'fr' || chosen === 'en') {
        return chosen;
    }
    let best = forDevice(r) ? 'en' : 'fr';
    let bestQuality = 0;
    const asked = (r.headersIn['Accept-Language'] || '').slice(0, 200).toLowerCase();
    asked.split(',').forEach((entry) => {
        const tag = entry.trim().split(';');
        const name = tag[0].split('-')[0].trim();
        const weight = /^q=(.*)$/.exec((tag[1] || '').trim());
        const quality = weight ? Number(weight[1]) || 0 : 1;
        if ((name === 'fr' || name === 'en') && quality > bestQuality) {
            best = name;
            bestQuality = quality;
        }
    });
    return best;
}

export default { refused, told, certificate };
