// Who is asking, as far as an access token tells. web/tokens.py decides the same again, and asks whether the session lives.

const AUDIENCE = 'solarperform-api';
const TOKEN_TYPE = 'at+jwt';
const TOKEN_CHARS_MAX = 2048;
const ACCESS_COOKIE = 'sp_access';
const ROLES = ['customer', 'energy_manager', 'installer', 'ops', 'admin'];
const SIGNATURE_BYTES = 64;

// "person:<subject>", or a problem's code. What throws leaves the verdict empty, which is a refusal.
async function verdict(r) {
    const said = await judged(r);
    r.setReturnValue(said);
}

async function judged(r) {
    const token = given(r);
    if (token === null) {
        return 'not_signed_in';
    }
    let subject = null;
    try {
        subject = await subjectOf(token, r.variables.sp_issuer);
    } catch (e) {
        // of what is no token at all: it says nothing that anybody has to know
    }
    return subject === null ? 'bad_token' : `person:${subject}`;
}

// As web/visits.py: the header, or else the browser's cookie. null: nobody claims to be anybody.
function given(r) {
    const header = r.headersIn['Authorization'];
    if (header !== undefined) {
        const bearer = /^bearer +(\S+)\s*$/i.exec(header);
        return bearer ? bearer[1] : '';
    }
    let found = null;
    (r.variables.http_cookie || '').split(';').forEach((each) => {
        const at = each.indexOf('=');
        if (at > 0 && each.slice(0, at).trim() === ACCESS_COOKIE) {
            found = each.slice(at + 1).trim();
        }
    });
    return found || null;
}

async function subjectOf(token, issuer) {
    const parts = token.split('.');
    if (token.length > TOKEN_CHARS_MAX || parts.length !== 3 || !parts.every((each) => /^[A-Za-z0-9_-]+$/.test(each))) {
        return null;
    }
    const key = keyFor(decoded(parts[0]));
    if (key === null) {
        return null;
    }
    if (!remembered(token)) {
        const right = await signed(key, parts);
        if (!right) {
            return null;
        }
        remember(token);
    }
    return claimed(decoded(parts[1]), issuer, Date.now() / 1000);
}

function decoded(part) {
    return JSON.parse(Buffer.from(part, 'base64url').toString());
}

// The key fixes the algorithm. A token only says which key, and has to agree.
function keyFor(header) {
    if (header.typ !== TOKEN_TYPE || header.crit !== undefined || typeof header.kid !== 'string') {
        return null;
    }
    for (let i = 0; i < jwks.keys.length; i += 1) {
        const key = jwks.keys[i]; // a preloaded array has none of an array's methods
        if (key.kid === header.kid && key.kty === 'EC' && key.crv === 'P-256' && key.alg === 'ES256') {
            return header.alg === key.alg ? key : null;
        }
    }
    return null;
}

// Tokens whose signature was right, for a minute (memory.conf): verifying is most of what a call costs here. Everything else
// about them is looked at each time. njs has such a memory since 0.8.
function remembered(token) {
    return ngx.shared !== undefined && ngx.shared.verified !== undefined && ngx.shared.verified.has(token);
}

function remember(token) {
    if (ngx.shared === undefined || ngx.shared.verified === undefined) {
        return;
    }
    try {
        ngx.shared.verified.set(token, 1);
    } catch (e) {
        // full, and nothing in it is old: this one is verified again the next time
    }
}

async function signed(key, parts) {
    const signature = Buffer.from(parts[2], 'base64url');
    if (signature.length !== SIGNATURE_BYTES) {
        return false;
    }
    const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
    const usable = await crypto.subtle.importKey('spki', publicKeyInfo(key), algorithm, false, ['verify']);
    const right = await crypto.subtle.verify(algorithm, usable, signature, `${parts[0]}.${parts[1]}`);
    return right;
}

// The key as SubjectPublicKeyInfo (RFC 5480): older njs reads no JWK.
function publicKeyInfo(key) {
    const head = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
    return Buffer.concat([head, Buffer.from(key.x, 'base64url'), Buffer.from(key.y, 'base64url')]);
}

// The subject, when every claim is there and right.
function claimed(claims, issuer, now_s) {
    const texts = ['sub', 'sid', 'jti'].every((each) => typeof claims[each] === 'string' && claims[each] !== '');
    const times = ['iat', 'exp'].every((each) => Number.isInteger(claims[each]));
    const begun = claims.nbf === undefined || (Number.isInteger(claims.nbf) && claims.nbf <= now_s);
    const right =
        texts &&
        times &&
        begun &&
        claims.iss === issuer &&
        claims.aud === AUDIENCE &&
        ROLES.indexOf(claims.role) >= 0 &&
        claims.iat <= now_s &&
        claims.exp > now_s &&
        /^[\x21-\x7e]{1,200}$/.test(claims.sub);
    return right ? claims.sub : null;
}

// Whom an address stands for, as fleet/addresses.py: of IPv6 the network that one host, or one house, has to choose from.
function sender(r) {
    const address = r.rawVariables.binary_remote_addr;
    if (address.length !== 16) {
        return address.toString('hex');
    }
    const mapped = address.slice(0, 12).toString('hex') === '00000000000000000000ffff';
    return mapped ? address.slice(12).toString('hex') : address.slice(0, 8).toString('hex');
}

export default { verdict, sender };
